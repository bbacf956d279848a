import math
from typing import Any

import numpy as np
import pytest

from stepwell.base.errors import InvalidArgumentError, NotFoundError
from stepwell.experiments.exposed_slates import ExposedSlates
from stepwell.feedback.experiment_log import read_experiment
from stepwell.feedback.logged_events import event_record, impression_record
from stepwell.stores.event_log import EventRecord
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import common_pb2, feedback_pb2

CLICK = common_pb2.EVENT_TYPE_CLICK
PURCHASE = common_pb2.EVENT_TYPE_PURCHASE
FULL, POPULAR = common_pb2.TIER_FULL, common_pb2.TIER_POPULAR


def shown(
    request: str,
    user: str,
    arm: str = "",
    *,
    time: int = 100,
    items: str = "ab",
    tier: common_pb2.Tier = FULL,
    experiment: str = "search",
) -> EventRecord:
    exposure = feedback_pb2.Exposure(experiment=experiment, arm=arm, bucket=1)
    impression = feedback_pb2.Impression(
        request_id=request,
        user_id=user,
        event_time_seconds=time,
        tier=tier,
        items=[feedback_pb2.ShownItem(item_id=item) for item in items],
        exposures=[exposure] if arm else [],
    )
    return impression_record(impression, 0)


def did(
    number: int, user: str, item: str, request: str = "", **more: Any
) -> EventRecord:
    fields = {"event_type": CLICK, "event_time_seconds": 100, **more}
    event = feedback_pb2.Event(
        event_id=f"e{number}", user_id=user, item_id=item, request_id=request, **fields
    )
    return event_record(event, 0)


def read(log: LmdbEventLog, *records: EventRecord, since: int = 0) -> ExposedSlates:
    log.append([*records])
    return read_experiment(log, "search", window_seconds=60, since=since)


def values(slates: ExposedSlates, name: str) -> list[float]:
    column: list[float] = slates.values[name].tolist()
    return column


def test_slates_are_those_of_users_in_an_arm(log: LmdbEventLog) -> None:
    slates = read(
        log,
        shown("r1", "ann", "control"),
        shown("r2", "bob", "wide", time=130, tier=POPULAR),
        shown("r3", "cid"),
        shown("r4", "dan", "wide", experiment="another"),
        shown("r5", "ann", "control", time=150, items=""),
    )
    assert slates.arm_names == ("control", "wide")
    assert slates.arms.tolist() == [0, 1]
    assert slates.users.tolist() == [0, 1, 0]
    assert slates.times.tolist() == [100, 130, 150]
    assert values(slates, "full_tier") == [1, 0, 1]
    assert values(slates, "popular_tier") == [0, 1, 0]
    assert values(slates, "empty_slates") == [0, 0, 1]
    assert slates.arm("wide").tolist() == [False, True]
    with pytest.raises(NotFoundError, match="control, wide"):
        slates.arm("narrow")


def test_what_answers_a_slate_counts_once_by_item_and_kind(log: LmdbEventLog) -> None:
    slates = read(
        log,
        # It overtook its impression.
        did(1, "ann", "a", "r1"),
        shown("r1", "ann", "control"),
        shown("r2", "ann", "control"),
        did(2, "ann", "a", "r1", event_time_seconds=120),
        did(3, "ann", "b", "r1", event_time_seconds=160),
        did(4, "ann", "b", "r1", event_type=PURCHASE, value=2.5),
        did(5, "ann", "a", "r1", event_type=PURCHASE, value=1.0),
    )
    assert values(slates, "clicked_slates") == [1, 0]
    assert values(slates, "clicks") == [2, 0]
    assert values(slates, "purchases") == [2, 0]
    assert values(slates, "purchase_value") == [3.5, 0]


@pytest.mark.parametrize(
    "event",
    [
        did(1, "ann", "a"),
        did(1, "ann", "a", "r9"),
        did(1, "bob", "a", "r1"),
        did(1, "ann", "z", "r1"),
        did(1, "ann", "a", "r1", event_time_seconds=99),
        did(1, "ann", "a", "r1", event_time_seconds=161),
        did(1, "ann", "a", "r1", event_type=common_pb2.EVENT_TYPE_DISMISS),
    ],
    ids=["no", "unknown", "user", "item", "before", "late", "kind"],
)
def test_what_answers_no_slate_does_not_count(
    log: LmdbEventLog, event: EventRecord
) -> None:
    slates = read(log, shown("r1", "ann", "control"), event)
    assert values(slates, "clicks") == [0]
    assert values(slates, "purchases") == [0]


def test_the_past_ends_with_the_first_exposure_of_anybody(log: LmdbEventLog) -> None:
    slates = read(
        log,
        did(1, "bob", "x"),
        did(2, "bob", "x", event_type=PURCHASE),
        did(3, "bob", "y", event_type=PURCHASE),
        shown("r0", "bob"),
        shown("r1", "ann", "control"),
        did(4, "bob", "x"),
        shown("r2", "bob", "wide"),
    )
    assert slates.before.tolist() == [
        [math.log1p(1), math.log1p(1), math.log1p(2)],
        [0, 0, 0],
    ]


def test_who_was_seen_in_two_arms_is_left_out_and_counted(log: LmdbEventLog) -> None:
    slates = read(
        log,
        shown("r1", "ann", "control"),
        shown("r2", "bob", "control"),
        shown("r3", "ann", "wide"),
    )
    assert slates.num_crossed == 1
    assert slates.arms.tolist() == [0]
    assert len(slates.times) == 1


def test_what_was_shown_earlier_was_shown_before_the_experiment(
    log: LmdbEventLog,
) -> None:
    """As after a new salt: everybody was in another arm before."""
    slates = read(
        log,
        shown("r1", "ann", "wide", time=100),
        did(1, "ann", "a", "r1"),
        shown("r2", "bob", "control", time=100),
        shown("r3", "cid", "control", time=100),
        shown("r4", "ann", "control", time=200),
        shown("r5", "bob", "wide", time=210),
        did(2, "bob", "a", "r5", event_time_seconds=210),
        since=200,
    )
    assert slates.num_crossed == 0
    assert [slates.arm_names[arm] for arm in slates.arms] == ["control", "wide"]
    assert slates.times.tolist() == [200, 210]
    assert values(slates, "clicks") == [0, 1]
    once = math.log1p(1)
    assert slates.before.tolist() == [[once, once, 0], [once, 0, 0]]


def test_says_so_where_nothing_was_shown_since(log: LmdbEventLog) -> None:
    with pytest.raises(InvalidArgumentError, match="no slate was shown since 101"):
        read(log, shown("r1", "ann", "control"), since=101)


def test_says_which_experiments_there_are_instead(log: LmdbEventLog) -> None:
    with pytest.raises(NotFoundError, match="'search'; named are: another"):
        read(log, shown("r1", "ann", "control", experiment="another"))


def test_a_line_of_a_later_version_is_passed_over(log: LmdbEventLog) -> None:
    strange = EventRecord("strange", b"\xff\xff")
    slates = read(log, strange, shown("r1", "ann", "control"))
    assert np.array_equal(slates.users, [0])
