"""The user history: one meaning, however it is folded and stored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import DataLossError
from stepwell.schema import user_history
from stepwell.schema.user_history import HALF_LIFE_SECONDS, UserHistory

EVENTS = st.lists(
    st.tuples(
        st.integers(1, 6),
        st.integers(1_400_000_000, 1_500_000_000),
        st.floats(0, 100, width=32),
    ),
    max_size=30,
    unique_by=lambda event: event[1],
)


def _folded(events: list[tuple[int, int, float]]) -> UserHistory:
    keys, times, values = zip(*events, strict=True) if events else ((), (), ())
    return UserHistory.from_events(
        np.array(keys, np.uint64), np.array(times, np.int64), np.array(values, "f4")
    )


@settings(max_examples=60)
@given(EVENTS)
def test_one_by_one_equals_all_at_once_in_any_order(
    events: list[tuple[int, int, float]],
) -> None:
    one_by_one = UserHistory.empty()
    for event in events:
        one_by_one = one_by_one.applied(*event)
    at_once = _folded(events)
    for name, _ in user_history._COLUMNS:
        np.testing.assert_allclose(
            getattr(one_by_one, name), getattr(at_once, name), rtol=1e-4
        )
    assert one_by_one.num_events == at_once.num_events == len(events)
    assert one_by_one.num_trips == at_once.num_trips
    assert one_by_one.last_event_time == at_once.last_event_time
    assert one_by_one.first_event_time == at_once.first_event_time


@settings(max_examples=30)
@given(EVENTS, st.text(max_size=20))
def test_unpack_returns_what_was_packed(
    events: list[tuple[int, int, float]], segment: str
) -> None:
    history = UserHistory.empty(segment)
    for event in events:
        history = history.applied(*event)
    again = UserHistory.unpack(history.pack())
    assert again.pack() == history.pack()
    assert again.segment == segment


def test_orders_items_by_recency_then_higher_key() -> None:
    history = _folded([(1, 100, 0.0), (3, 200, 0.0), (2, 200, 0.0)])
    assert history.keys.tolist() == [3, 2, 1]


def test_decayed_count_halves_a_half_life_later() -> None:
    history = UserHistory.empty().applied(7, 1_000)
    later = 1_000 + HALF_LIFE_SECONDS
    assert history.decayed_counts(later)[0] == pytest.approx(0.5)
    assert history.applied(7, later).decayed_count[0] == pytest.approx(1.5)


def test_keeps_the_most_recent_items_when_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(user_history, "MAX_ITEMS", 2)
    history = _folded([(1, 100, 0.0), (2, 300, 0.0), (3, 200, 0.0)])
    assert history.keys.tolist() == [2, 3]
    assert history.num_events == 3


@pytest.mark.parametrize("cut", [0, 3, 20, -1])
def test_refuses_a_truncated_blob(cut: int) -> None:
    blob = UserHistory.empty("north").applied(1, 2).pack()
    with pytest.raises(DataLossError):
        UserHistory.unpack(blob[:cut])


def test_refuses_a_segment_that_is_no_text() -> None:
    blob = UserHistory.empty("north").applied(1, 2).pack()
    with pytest.raises(DataLossError, match="segment"):
        UserHistory.unpack(blob.replace(b"north", b"n\xfforth"[:5]))


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=40)
)
def test_the_most_recent_items_are_kept_ties_by_higher_key(
    events: list[tuple[int, int]],
) -> None:
    bound = 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(user_history, "MAX_ITEMS", bound)
        history, last = UserHistory.empty(), dict[int, int]()
        for key, time in events:
            history = history.applied(key, time)
            last[key] = max(last.get(key, 0), time)
            order = sorted(last, key=lambda key: (last[key], key), reverse=True)
            last = {key: last[key] for key in order[:bound]}
            assert history.keys.tolist() == list(last)
            assert history.last_time.tolist() == list(last.values())
    assert history.num_events == len(events)
