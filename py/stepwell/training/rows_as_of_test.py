"""Rows as of a cut: those that the stream updater folds, event by event."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.clock import SystemClock
from stepwell.base.deadline import Deadline
from stepwell.base.metrics import Metrics
from stepwell.features.online_reader import OnlineReader
from stepwell.features.row_verdict import UserRows
from stepwell.feedback.stream_fold import activity_after
from stepwell.schema.events import EventType
from stepwell.schema.feature_registry import (
    ACTIVITY_TYPES,
    ITEM_ACTIVITY,
    USER_ACTIVITY,
    USER_VIEWS,
)
from stepwell.training.rows_as_of import (
    Events,
    RowsWithout,
    UserRowsAsOf,
    activity_rows,
    item_rows,
)
from stepwell.training.split import Snapshot

START = 1_500_000_000
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(sorted(EventType)),
        st.integers(0, 40 * 86_400),
        st.floats(0, 100, width=32),
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def as_of(known: Snapshot) -> UserRowsAsOf:
    return UserRowsAsOf(known)


@settings(max_examples=60)
@given(EVENTS)
def test_sums_are_what_the_updater_folds(
    events: list[tuple[int, EventType, int, float]],
) -> None:
    events = sorted(events, key=lambda event: event[2])
    bodies = {user: bytes(USER_ACTIVITY.row_dtype.itemsize) for user in range(4)}
    for user, kind, time, value in events:
        if kind in ACTIVITY_TYPES:
            bodies[user] = activity_after(bodies[user], kind, START + time, value)
    users, types, times, values = zip(*events, strict=True) if events else [()] * 4
    got = activity_rows(
        Events(
            np.array(users, np.int32),
            np.array(types, np.int8),
            START + np.array(times, np.int64),
            np.array(values, np.float32),
        ),
        4,
    )
    for user, body in bodies.items():
        want = np.frombuffer(body, USER_ACTIVITY.row_dtype)[0]
        for feature in USER_ACTIVITY.features:
            assert got[user][feature.name] == pytest.approx(
                want[feature.name], rel=1e-4, abs=1e-30
            ), feature.name


def test_an_items_rows_count_what_came_before_the_cut(known: Snapshot) -> None:
    rows, table = item_rows(known), known.table
    assert rows.dtype == ITEM_ACTIVITY.row_dtype
    before = (table.times < known.cut_time) & (table.types == EventType.PURCHASE)
    for item in (0, known.num_items - 1):
        mine = before & (table.item_rows == known.table_rows[item])
        last = table.times[mine].max()
        assert rows["purchase_last_time"][item] == last
        decayed = np.exp2((table.times[mine] - last) / (7 * 86_400)).sum()
        assert rows["purchase_decayed_7d"][item] == pytest.approx(decayed, rel=1e-5)
    assert not rows["click_last_time"].any()


def _read(
    as_of: UserRowsAsOf, known: Snapshot, dropped: tuple[str, ...] = ()
) -> UserRows:
    store = RowsWithout(as_of, dropped)
    user_id = known.table.users.id_of_row(int(known.user_rows[0]))
    deadline = Deadline.after_us(SystemClock(), 1_000_000)
    reader = OnlineReader(store, USER_VIEWS, Metrics())
    return reader.read(user_id, known.cut_time, deadline)


def test_the_serving_code_reads_them(as_of: UserRowsAsOf, known: Snapshot) -> None:
    found = _read(as_of, known)
    assert [state.value for state in found.states][:2] == ["fresh"] * 2
    last = found.rows["user_activity"]["purchase_last_time"]
    assert last == found.history.last_event_time < known.cut_time


def test_a_dropped_view_is_missing_and_no_other(
    as_of: UserRowsAsOf, known: Snapshot
) -> None:
    found = _read(as_of, known, ("user_activity",))
    assert "user_activity" in found.defaulted
    assert found.states[0].value == "fresh"


def test_a_stranger_has_no_rows(as_of: UserRowsAsOf) -> None:
    assert as_of.get_rows([("user_history", "nobody")]) == [None]
