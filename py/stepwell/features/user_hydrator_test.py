"""Reading a user: fresh, missing, stale and damaged."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import DataLossError, DeadlineExceededError, UnavailableError
from stepwell.base.metric_names import STALE_VIEWS
from stepwell.base.metrics import Metrics
from stepwell.features.baselines import Baselines
from stepwell.features.online_reader import OnlineReader
from stepwell.features.user_hydrator import UserHydrator
from stepwell.pipeline.query import Query, UserContext
from stepwell.schema.feature_registry import (
    DAY_SECONDS,
    USER_ACTIVITY,
    USER_HISTORY,
    USER_PROFILE,
    USER_VIEWS,
)
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.feature_view import WhenStale
from stepwell.schema.history_row import history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import Vocabulary, entity_key
from stepwell.schema.writer_watermark import WriterWatermark
from stepwell.stores.key_value_store import WATERMARK_VIEW, Guard

HISTORY, ACTIVITY = USER_HISTORY.name, USER_ACTIVITY.name
PROFILE = USER_PROFILE.name
Blobs = dict[tuple[str, str], bytes]


class _Memory:
    """Rows in a dict; down when `blobs` is None."""

    def __init__(self, blobs: Blobs | None) -> None:
        self.blobs = blobs
        self.timeout_us: int | None = None

    def get_many(
        self, view: str, keys: Sequence[str], timeout_us: int | None = None
    ) -> list[bytes | None]:
        raise AssertionError("a request reads all its rows at once")

    def get_rows(
        self, rows: Sequence[tuple[str, str]], timeout_us: int | None = None
    ) -> list[bytes | None]:
        self.timeout_us = timeout_us
        if self.blobs is None:
            raise UnavailableError("the store is down")
        return [self.blobs.get(row) for row in rows]

    def put_many(self, view: str, values: Mapping[str, bytes]) -> None:
        raise AssertionError("a request writes nothing")

    def write_if(
        self, guard: Guard, changes: Mapping[str, Mapping[str, bytes]]
    ) -> bool:
        raise AssertionError("a request writes nothing")

    def close(self) -> None:
        pass


def _hydrator(blobs: Blobs | None, vocabulary: Vocabulary) -> UserHydrator:
    views = (USER_HISTORY, USER_ACTIVITY)
    reader = OnlineReader(_Memory(blobs), views, Metrics())
    return UserHydrator(reader, vocabulary, ["", "south", "north"])


def _of_ann(history: UserHistory) -> Blobs:
    """What the store has of a user with a history, whose writer is alive."""
    said = WriterWatermark(FakeClock().wall_us(), 0).pack()
    time = history.last_event_time
    values = USER_ACTIVITY.default_row()
    values["session_count"] = 4
    activity = FeatureRow.of(USER_ACTIVITY, values, time, time * 1_000_000)
    return {
        (HISTORY, "ann"): history_row(history).pack(),
        (ACTIVITY, "ann"): activity.pack(),
        (WATERMARK_VIEW, HISTORY): said,
        (WATERMARK_VIEW, ACTIVITY): said,
    }


def test_a_known_user_comes_with_rows_segment_and_ages(
    query: Query, history: UserHistory, vocabulary: Vocabulary
) -> None:
    user = _hydrator(_of_ann(history), vocabulary).hydrate(query, query.deadline)
    assert user.history_rows.tolist() == [0, 3]
    assert user.segment_row == 2
    assert not user.is_cold
    assert user.rows.keys() == {ACTIVITY}
    assert user.rows[ACTIVITY]["session_count"] == 4
    age_ms = 10 * DAY_SECONDS * 1_000
    assert user.feature_age_ms == {HISTORY: age_ms, ACTIVITY: age_ms}
    assert user.writer_age_ms == {HISTORY: 0, ACTIVITY: 0}
    assert user.defaulted == user.stale == ()


@pytest.mark.parametrize(
    ("left_us", "stage_us", "limit_us"),
    [(20_000, 1_500, 18_000), (3_000, 1_500, 1_500), (1_900, 900, 900)],
)
def test_the_read_has_all_time_but_what_an_answer_from_memory_takes(
    query: Query, vocabulary: Vocabulary, left_us: int, stage_us: int, limit_us: int
) -> None:
    store = _Memory({})
    whole = query.deadline.sooner_us(left_us)
    reader = OnlineReader(store, [USER_HISTORY], Metrics())
    hydrator = UserHydrator(reader, vocabulary, [""])
    hydrator.hydrate(replace(query, deadline=whole), whole.sooner_us(stage_us))
    assert store.timeout_us == limit_us


def test_an_unknown_user_is_cold_and_every_view_is_named_defaulted(
    query: Query, vocabulary: Vocabulary
) -> None:
    user = _hydrator({}, vocabulary).hydrate(query, query.deadline)
    assert user.is_cold
    assert user.defaulted == (HISTORY, ACTIVITY)
    assert user.stale == ()
    assert user.rows == user.feature_age_ms == {}


@pytest.mark.parametrize(
    ("when_stale", "drops"), [(WhenStale.DEFAULT, False), (WhenStale.DROP_TIER, True)]
)
def test_only_a_stale_view_that_says_so_drops_the_tier(
    query: Query,
    history: UserHistory,
    vocabulary: Vocabulary,
    when_stale: WhenStale,
    drops: bool,
) -> None:
    views = (USER_HISTORY, replace(USER_ACTIVITY, when_stale=when_stale))
    reader = OnlineReader(_Memory(_of_ann(history)), views, Metrics())
    hydrator = UserHydrator(reader, vocabulary, [""])
    at = history.last_event_time + USER_ACTIVITY.ttl_seconds + 1
    late = replace(query, event_time=at)
    assert hydrator.hydrate(late, query.deadline).drops_tier is drops
    assert not hydrator.hydrate(query, query.deadline).drops_tier
    stranger = replace(late, user_id="new")
    assert not hydrator.hydrate(stranger, query.deadline).drops_tier


def test_each_view_has_a_window_of_its_own(
    query: Query, history: UserHistory, vocabulary: Vocabulary
) -> None:
    at = history.last_event_time + USER_ACTIVITY.ttl_seconds + 1
    hydrator = _hydrator(_of_ann(history), vocabulary)
    user = hydrator.hydrate(replace(query, event_time=at), query.deadline)
    assert len(user.history) == 2
    assert user.rows == {}
    assert user.defaulted == user.stale == (ACTIVITY,)


@pytest.mark.parametrize(("late_seconds", "is_stale"), [(0, False), (1, True)])
def test_a_history_past_its_time_to_live_is_not_used_but_its_segment_is(
    query: Query,
    history: UserHistory,
    vocabulary: Vocabulary,
    late_seconds: int,
    is_stale: bool,
) -> None:
    age = USER_HISTORY.ttl_seconds + late_seconds
    at = replace(query, event_time=history.last_event_time + age)
    hydrator = _hydrator(_of_ann(history), vocabulary)
    user = hydrator.hydrate(at, query.deadline)
    assert user.is_cold is is_stale
    assert len(user.history) == (0 if is_stale else 2)
    assert (HISTORY in user.stale) is (HISTORY in user.defaulted) is is_stale
    assert user.feature_age_ms[HISTORY] == age * 1_000
    assert user.segment_row == 2


def test_a_damaged_history_is_as_good_as_none(
    query: Query, history: UserHistory, vocabulary: Vocabulary
) -> None:
    blobs = _of_ann(history)
    blobs[HISTORY, "ann"] = blobs[HISTORY, "ann"][:-3]
    user = _hydrator(blobs, vocabulary).hydrate(query, query.deadline)
    assert user.is_cold
    assert user.defaulted == (HISTORY,)
    assert user.rows.keys() == {ACTIVITY}


def test_a_newcomer_is_of_the_segment_that_the_users_table_says(
    query: Query, vocabulary: Vocabulary
) -> None:
    values = USER_PROFILE.default_row()
    values["segment"] = entity_key("segment=south")
    row = FeatureRow.of(USER_PROFILE, values, query.event_time, 0)
    store = _Memory({(USER_PROFILE.name, "ann"): row.pack()})
    reader = OnlineReader(store, USER_VIEWS, Metrics())
    hydrator = UserHydrator(reader, vocabulary, ["", "south", "north"])
    user = hydrator.hydrate(query, query.deadline)
    assert (user.is_cold, user.segment_row) == (True, 1)
    assert user.defaulted == (HISTORY, ACTIVITY)
    assert hydrator.replayed(query, user.reads).segment_row == 1


@pytest.mark.parametrize(
    ("age_seconds", "stale"), [(None, ()), (USER_PROFILE.ttl_seconds + 1, (PROFILE,))]
)
def test_a_baseline_stands_in_for_a_missing_or_stale_row_and_is_no_row_of_the_user(
    query: Query,
    history: UserHistory,
    vocabulary: Vocabulary,
    age_seconds: int | None,
    stale: tuple[str, ...],
) -> None:
    metrics, blobs = Metrics(), _of_ann(history)
    if age_seconds is not None:
        event_time = query.event_time - age_seconds
        row = FeatureRow.of(USER_PROFILE, USER_PROFILE.default_row(), event_time, 0)
        blobs[PROFILE, "ann"] = row.pack()
    rows = np.zeros(3, USER_PROFILE.row_dtype)
    rows["segment"] = [10, 11, 12]
    reader = OnlineReader(_Memory(blobs), USER_VIEWS, metrics)
    segments, baselines = ["", "south", "north"], Baselines({PROFILE: rows})
    hydrator = UserHydrator(reader, vocabulary, segments, baselines)
    user = hydrator.hydrate(query, query.deadline)
    # That of the user's segment, north.
    assert user.rows[PROFILE]["segment"] == 12
    assert user.segment_row == 2
    assert user.defaulted == (PROFILE,)
    assert user.stale == stale
    assert metrics.value(STALE_VIEWS, PROFILE, "baseline") == len(stale)
    assert _same(hydrator.replayed(query, user.reads), user)


def test_items_the_release_does_not_know_have_no_row(
    query: Query, vocabulary: Vocabulary
) -> None:
    keys = np.array([vocabulary.keys[4], 99], np.uint64)
    state = UserHistory.from_events(keys, np.array([query.event_time - 5, 10]))
    hydrator = _hydrator(_of_ann(state), vocabulary)
    user = hydrator.hydrate(query, query.deadline)
    assert user.history_rows.tolist() == [4, -1]


def _same(one: UserContext, other: UserContext) -> bool:
    """Whether features made of the two are the same."""
    return (
        one.history.pack() == other.history.pack()
        and one.history_rows.tolist() == other.history_rows.tolist()
        and (one.segment_row, one.is_cold) == (other.segment_row, other.is_cold)
        and one.defaulted == other.defaulted
        and {view: row.tobytes() for view, row in one.rows.items()}
        == {view: row.tobytes() for view, row in other.rows.items()}
    )


@pytest.mark.parametrize(
    ("missing", "age_seconds"),
    [
        ((), 10),
        ((HISTORY,), 10),
        ((ACTIVITY,), 10),
        ((), USER_ACTIVITY.ttl_seconds + 1),
        ((), USER_HISTORY.ttl_seconds + 1),
    ],
)
def test_what_was_read_makes_the_same_context_again(
    query: Query,
    history: UserHistory,
    vocabulary: Vocabulary,
    missing: tuple[str, ...],
    age_seconds: int,
) -> None:
    blobs = _of_ann(history)
    for view in missing:
        del blobs[view, "ann"]
    hydrator = _hydrator(blobs, vocabulary)
    at = replace(query, event_time=history.last_event_time + age_seconds)
    user = hydrator.hydrate(at, query.deadline)
    assert [(view, key) for view, key, _ in user.reads] == [
        (HISTORY, "ann"),
        (ACTIVITY, "ann"),
    ]
    # No store: a replay has the reads alone.
    again = _hydrator(None, vocabulary).replayed(at, user.reads)
    assert _same(again, user)
    assert again.reads == user.reads


def test_a_replay_of_damaged_reads_is_an_error(
    query: Query, vocabulary: Vocabulary
) -> None:
    with pytest.raises(DataLossError):
        _hydrator({}, vocabulary).replayed(query, [(HISTORY, "ann", b"SWFR")])


def test_a_store_that_is_down_is_the_executors_to_answer(
    query: Query, vocabulary: Vocabulary
) -> None:
    with pytest.raises(UnavailableError):
        _hydrator(None, vocabulary).hydrate(query, query.deadline)


def test_nothing_is_read_after_the_deadline(
    query: Query, vocabulary: Vocabulary
) -> None:
    late = Deadline.after_us(FakeClock(), -1)
    with pytest.raises(DeadlineExceededError):
        _hydrator(None, vocabulary).hydrate(query, late)
