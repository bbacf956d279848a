"""Item state is a function of the log alone; merging adds what a release knows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.errors import DataLossError
from stepwell.feedback import item_state
from stepwell.feedback.item_state import ItemRows, ItemState, decayed_to, merged
from stepwell.schema.events import EventType
from stepwell.schema.feature_registry import ITEM_ACTIVITY

START = 1_500_000_000
HOUR, DAY = 3_600, 86_400
COUNTS = [f.name for f in ITEM_ACTIVITY.features if "decayed" in f.name]

events = st.lists(
    st.tuples(
        st.integers(1, 6),
        st.sampled_from([int(EventType.CLICK), int(EventType.PURCHASE)]),
        st.integers(0, 20 * DAY),
    ),
    min_size=1,
    max_size=40,
)


def state_of(told: list[tuple[int, int, int]]) -> ItemState:
    state = ItemState()
    for key, kind, second in told:
        state.fold(key, kind, START + second)
    return state


def by_key(state: ItemState) -> dict[int, np.void]:
    return dict(zip(state.keys.tolist(), state.rows, strict=True))


def rows_of(state: ItemState, keys: list[int]) -> ItemRows:
    """Rows of the keys, zeros where the state does not know them."""
    known = by_key(state)
    rows = np.zeros(len(keys), ITEM_ACTIVITY.row_dtype)
    for place, key in enumerate(keys):
        if key in known:
            rows[place] = known[key]
    return rows


def test_a_purchase_counts_one_and_halves_in_its_half_life() -> None:
    state = state_of([(7, EventType.PURCHASE, 0)])
    assert state.keys.tolist() == [7]
    assert state.rows["purchase_decayed_1h"].tolist() == [1]
    assert state.rows["click_decayed_1h"].tolist() == [0]
    assert state.rows["purchase_last_time"].tolist() == [START]
    later = decayed_to(state.rows, "purchase_decayed_1d", START + DAY)
    assert later.tolist() == [0.5]
    # A clock behind the event does not make it more than it was.
    assert decayed_to(state.rows, "purchase_decayed_1d", START - DAY).tolist() == [1]


@given(told=events, cut=st.integers(0, 40))
def test_a_state_kept_half_way_goes_on_to_the_same_bytes(
    told: list[tuple[int, int, int]], cut: int
) -> None:
    half = ItemState.unpacked(state_of(told[:cut]).packed())
    for key, kind, second in told[cut:]:
        half.fold(key, kind, START + second)
    assert half.packed() == state_of(told).packed()


@given(told=events, data=st.data())
def test_the_order_of_the_log_changes_no_count(
    told: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    first = state_of(told)
    second = state_of(data.draw(st.permutations(told)))
    keys = sorted(by_key(first))
    for name in ITEM_ACTIVITY.row_dtype.names or ():
        one, other = rows_of(first, keys)[name], rows_of(second, keys)[name]
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@given(told=events, cut=st.integers(0, 40))
def test_merging_two_parts_of_the_events_counts_each_once(
    told: list[tuple[int, int, int]], cut: int
) -> None:
    keys = list(range(1, 7))
    parts = [rows_of(state_of(part), keys) for part in (told[:cut], told[cut:])]
    whole, both = rows_of(state_of(told), keys), merged(parts[0], parts[1])
    for name in ITEM_ACTIVITY.row_dtype.names or ():
        np.testing.assert_allclose(both[name], whole[name], rtol=1e-5, atol=1e-6)


def test_there_is_room_for_so_many_items_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(item_state, "MAX_ITEMS", 3_000)
    state = ItemState()
    places = [state.fold(key, EventType.CLICK, START) for key in range(3_001)]
    assert places == [*range(3_000), -1]
    assert state.fold(5, EventType.CLICK, START) == 5
    assert state.rows["click_decayed_7d"].sum() == 3_001


def test_refuses_bytes_that_it_did_not_write() -> None:
    blob = state_of([(1, EventType.CLICK, 0)]).packed()
    with pytest.raises(DataLossError, match="entries"):
        ItemState.unpacked(blob[:-1])
    with pytest.raises(DataLossError, match="twice"):
        ItemState.unpacked(blob + blob)
