"""A fold gives the same row however the log is cut, and nearly so in any order."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.feedback.stream_fold import (
    LATENESS_SECONDS,
    UserActivityFold,
    UserEvent,
    UserFold,
    UserHistoryFold,
    activity_after,
)
from stepwell.schema.events import HISTORY_EVENT_TYPES, EventType
from stepwell.schema.feature_registry import (
    ACTIVITY_HALF_LIVES,
    ACTIVITY_TYPES,
    SESSION_GAP_SECONDS,
    USER_ACTIVITY,
)
from stepwell.schema.feature_row import FeatureRow

START = 1_500_000_000
HOUR = 3_600
DAY = 86_400
FOLDS: tuple[UserFold, ...] = (UserHistoryFold(HISTORY_EVENT_TYPES), UserActivityFold())
KINDS = [int(kind) for kind in ACTIVITY_TYPES]

moments = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(0, 5),
        st.integers(0, LATENESS_SECONDS),
        st.sampled_from([0.0, 2.5, 19.99]),
    ),
    min_size=1,
    max_size=30,
)


def event(
    kind: int, time: int, value: float = 0.0, item: int = 1, offset: int = 0
) -> UserEvent:
    return UserEvent(offset, kind, item, time, value, time * 1_000_000 + offset)


def events_of(drawn: Sequence[tuple[int, int, int, float]]) -> list[UserEvent]:
    return [
        event(kind, START + second, value, item, offset)
        for offset, (kind, item, second, value) in enumerate(drawn)
    ]


def activity(events: Sequence[UserEvent]) -> np.ndarray:
    row = UserActivityFold().folded(None, events).row
    assert row is not None
    return row.values


def session(values: np.ndarray) -> tuple[int, int]:
    """Number of sessions, and events of the newest."""
    return int(values["session_count"]), int(values["session_events"])


def test_the_bodys_struct_is_the_views_row() -> None:
    body = bytes(USER_ACTIVITY.row_dtype.itemsize)
    for place, kind in enumerate(ACTIVITY_TYPES):
        time = START + place
        body = activity_after(body, kind, time, 3.0)
        values = np.ndarray((), USER_ACTIVITY.row_dtype, body)
        name = kind.name.lower()
        assert values[f"{name}_last_time"] == time
        for half_life in ACTIVITY_HALF_LIVES:
            assert values[f"{name}_decayed_{half_life}"] == 1
    assert values["purchase_value_decayed_7d"] == 3
    assert values["purchase_value_decayed_30d"] == 3
    assert session(values) == (1, 5)
    assert values["session_start_time"] == START


def test_a_count_halves_in_its_half_life_whichever_event_comes_first() -> None:
    first = event(EventType.PURCHASE, START, 8.0)
    second = event(EventType.PURCHASE, START + 7 * DAY, 1.0)
    for order in ([first, second], [second, first]):
        values = activity(order)
        assert values["purchase_decayed_7d"] == pytest.approx(1.5)
        assert values["purchase_decayed_1h"] == pytest.approx(1.0)
        assert values["purchase_decayed_30d"] == pytest.approx(1 + 2 ** (-7 / 30))
        assert values["purchase_value_decayed_7d"] == pytest.approx(1 + 8 / 2)
        assert values["purchase_last_time"] == START + 7 * DAY


def test_a_click_is_no_purchase_and_its_value_no_money() -> None:
    values = activity([event(EventType.CLICK, START, 5.0)])
    assert values["click_decayed_1d"] == 1
    assert values["purchase_decayed_1d"] == 0
    assert values["purchase_value_decayed_7d"] == 0


def test_a_session_ends_with_the_gap_and_a_late_event_joins_only_the_newest() -> None:
    gap = SESSION_GAP_SECONDS
    kind = EventType.CLICK
    told = [event(kind, START), event(kind, START + gap)]
    values = activity(told)
    assert session(values) == (1, 2)
    told.append(event(kind, START + 2 * gap + 1))
    values = activity(told)
    assert session(values) == (2, 1)
    assert values["session_start_time"] == START + 2 * gap + 1
    # Late by less than the gap before the session's start: the session began earlier.
    told.append(event(EventType.RATING, START + gap + 5))
    values = activity(told)
    assert session(values) == (2, 2)
    assert values["session_start_time"] == START + gap + 5
    # Of the session before: counted there once, and nothing changes now.
    told.append(event(kind, START + 1))
    values = activity(told)
    assert session(values) == (2, 2)


def test_what_is_older_than_the_window_is_left_out_and_counted() -> None:
    newest = event(EventType.CLICK, START + LATENESS_SECONDS + 1)
    just = event(EventType.CLICK, START + 1)
    late = event(EventType.CLICK, START)
    before = UserActivityFold().folded(None, [newest, just])
    after = UserActivityFold().folded(before.row, [late])
    assert (before.num_late, after.num_late) == (0, 1)
    assert after.row == before.row
    # A history has no window: a late purchase is one all the same.
    kept = UserHistoryFold(HISTORY_EVENT_TYPES).folded(None, [newest, late])
    assert kept.num_late == 0


def test_events_of_other_types_leave_a_row_as_it_is() -> None:
    shown = event(EventType.IMPRESSION, START)
    for fold in FOLDS:
        assert fold.folded(None, [shown]).row is None
    before = UserActivityFold().folded(None, [event(EventType.CLICK, START)]).row
    assert UserActivityFold().folded(before, [shown]).row is before


def test_a_row_says_when_its_newest_event_was_and_when_it_came_in() -> None:
    told = [event(EventType.PURCHASE, START + 60), event(EventType.PURCHASE, START)]
    for fold in FOLDS:
        row = fold.folded(None, told).row
        assert row is not None
        assert row.event_timestamp == START + 60
        assert row.written_at_us == (START + 60) * 1_000_000


@given(drawn=moments, cut=st.integers(0, 30))
def test_cutting_the_log_elsewhere_gives_the_same_bytes(
    drawn: list[tuple[int, int, int, float]], cut: int
) -> None:
    told = events_of(drawn)
    for fold in FOLDS:
        whole = fold.folded(None, told).row
        half = fold.folded(None, told[:cut]).row
        stored = None if half is None else FeatureRow.unpack(fold.view, half.pack())
        again = fold.folded(stored, told[cut:]).row
        assert _packed(again) == _packed(whole)


@given(drawn=moments, data=st.data())
def test_any_order_within_the_window_gives_the_same_counts(
    drawn: list[tuple[int, int, int, float]], data: st.DataObject
) -> None:
    told = events_of(drawn)
    in_order = activity(told)
    shuffled = activity(data.draw(st.permutations(told)))
    for feature in USER_ACTIVITY.features:
        # Which session an event belongs to is decided by the order of the log.
        if not feature.name.startswith("session"):
            expected = float(in_order[feature.name])
            assert float(shuffled[feature.name]) == pytest.approx(expected, rel=1e-5)


@given(drawn=moments)
def test_a_fold_is_the_sum_that_its_meaning_says(
    drawn: list[tuple[int, int, int, float]],
) -> None:
    told = events_of(drawn)
    values = activity(told)
    for kind in ACTIVITY_TYPES:
        times = np.array([e.time for e in told if e.kind == kind])
        spent = np.array([e.value for e in told if e.kind == kind])
        name = kind.name.lower()
        last = max(times, default=0)
        assert values[f"{name}_last_time"] == last
        for half_life, seconds in ACTIVITY_HALF_LIVES.items():
            weights = np.exp2((times - last) / seconds)
            actual = values[f"{name}_decayed_{half_life}"]
            assert actual == pytest.approx(weights.sum(), rel=1e-5)
            feature = f"purchase_value_decayed_{half_life}"
            if kind == EventType.PURCHASE and half_life in ("7d", "30d"):
                money = float((weights * spent).sum())
                assert values[feature] == pytest.approx(money, rel=1e-5)


def _packed(row: FeatureRow | None) -> bytes | None:
    return None if row is None else row.pack()
