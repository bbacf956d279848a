import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.feedback.attribution import Attribution, Unattributed, attribute
from stepwell_pb.v1 import common_pb2, feedback_pb2

CLICK, PURCHASE = common_pb2.EVENT_TYPE_CLICK, common_pb2.EVENT_TYPE_PURCHASE
WINDOW = 100


def impression(request: str, time: int, items: str = "abc") -> feedback_pb2.Impression:
    return feedback_pb2.Impression(
        request_id=request,
        user_id="u",
        event_time_seconds=time,
        tier=common_pb2.TIER_REDUCED,
        release_id="v000001",
        items=[
            feedback_pb2.ShownItem(item_id=item, score=0.5, propensity=0.25)
            for item in items
        ],
    )


def event(
    number: int,
    request: str,
    item: str,
    time: int,
    kind: common_pb2.EventType = CLICK,
    user: str = "u",
) -> feedback_pb2.Event:
    return feedback_pb2.Event(
        event_id=f"e{number}",
        user_id=user,
        item_id=item,
        event_type=kind,
        event_time_seconds=time,
        value=2.0,
        request_id=request,
    )


def joined(
    impressions: list[feedback_pb2.Impression], *events: feedback_pb2.Event
) -> Attribution:
    return attribute(impressions, events, WINDOW, as_of_seconds=10_000)


def test_every_shown_item_is_a_row_and_the_answered_one_says_how() -> None:
    result = joined(
        [impression("r", 1_000)],
        event(2, "r", "b", 1_090, PURCHASE),
        event(1, "r", "b", 1_010),
    )
    assert [(row.item_id, row.position) for row in result.rows] == [
        ("a", 0),
        ("b", 1),
        ("c", 2),
    ]
    ignored, answered, _ = result.rows
    assert answered.outcomes == {CLICK, PURCHASE}
    assert (answered.value, answered.delay_seconds) == (4.0, 10)
    assert (len(ignored.outcomes), ignored.value, ignored.delay_seconds) == (0, 0.0, -1)
    assert (answered.tier, answered.release_id) == (common_pb2.TIER_REDUCED, "v000001")
    assert (answered.score, answered.propensity) == (0.5, 0.25)
    assert result.unattributed == {}


@pytest.mark.parametrize(
    ("one", "cause"),
    [
        (event(1, "", "a", 1_000), Unattributed.NO_REQUEST),
        (event(1, "other", "a", 1_000), Unattributed.UNKNOWN_REQUEST),
        (event(1, "r", "a", 1_000, user="v"), Unattributed.OTHER_USER),
        (event(1, "r", "z", 1_000), Unattributed.NOT_SHOWN),
        (event(1, "r", "a", 999), Unattributed.OUTSIDE_WINDOW),
        (event(1, "r", "a", 1_101), Unattributed.OUTSIDE_WINDOW),
        (event(1, "r", "a", 1_000), None),
        (event(1, "r", "a", 1_100), None),
    ],
)
def test_an_event_is_attributed_or_counted_by_its_cause(
    one: feedback_pb2.Event, cause: Unattributed | None
) -> None:
    result = joined([impression("r", 1_000)], one)
    assert result.unattributed == ({} if cause is None else {cause: 1})
    assert any(row.outcomes for row in result.rows) == (cause is None)


def test_a_slate_whose_window_is_open_is_no_negative_yet() -> None:
    slates = [impression("old", 899), impression("due", 900), impression("open", 901)]
    result = attribute(slates, [], WINDOW, as_of_seconds=1_000)
    assert {row.request_id for row in result.rows} == {"old", "due"}


def test_repeated_lines_count_once() -> None:
    result = joined(
        [impression("r", 1_000, "ab"), impression("r", 1_000, "xyz")],
        event(1, "r", "a", 1_001),
        event(1, "r", "a", 1_001),
    )
    assert [row.item_id for row in result.rows] == ["a", "b"]
    assert result.rows[0].value == 2.0


@given(
    st.lists(st.tuples(st.sampled_from("rst"), st.integers(0, 300)), max_size=4),
    st.lists(
        st.tuples(
            st.sampled_from(["r", "s", "q", ""]),
            st.sampled_from("abz"),
            st.integers(0, 500),
        ),
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_each_event_is_used_once_and_order_does_not_matter(
    shown: list[tuple[str, int]],
    happened: list[tuple[str, str, int]],
    chance: random.Random,
) -> None:
    slates = [impression(request, time) for request, time in shown]
    events = [event(n, *fields) for n, fields in enumerate(happened)]
    result = joined(slates, *events)
    value = sum(row.value for row in result.rows)
    assert value / 2 + sum(result.unattributed.values()) == len(events)
    chance.shuffle(events)
    assert joined(slates, *events) == result
