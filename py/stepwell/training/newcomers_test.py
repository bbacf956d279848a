"""Newcomers: as many of a user's last events as are meant, by the code that serves."""

import numpy as np
import pytest

from stepwell.base.clock import SystemClock
from stepwell.base.deadline import Deadline
from stepwell.base.metrics import Metrics
from stepwell.features.online_reader import OnlineReader
from stepwell.schema.feature_registry import USER_ACTIVITY, USER_VIEWS
from stepwell.schema.user_history import UserHistory
from stepwell.training.newcomers import Newcomers
from stepwell.training.rows_as_of import UserRowsAsOf
from stepwell.training.split import Snapshot

EVERYTHING = 1 << 20


@pytest.fixture(scope="module")
def newcomers(known: Snapshot) -> Newcomers:
    return Newcomers(known)


def history_after(
    newcomers: Newcomers, known: Snapshot, user_row: int, num_events: int
) -> UserHistory | None:
    store = newcomers.store(user_row, num_events)
    deadline = Deadline.after_us(SystemClock(), 1_000_000)
    reader = OnlineReader(store, USER_VIEWS, Metrics())
    found = reader.read("whoever", known.cut_time, deadline)
    return found.history if found.history.num_events else None


@pytest.mark.parametrize("num_events", [1, 2, 5])
def test_a_newcomer_has_the_last_events_and_no_other(
    newcomers: Newcomers, known: Snapshot, num_events: int
) -> None:
    user_row = int(known.user_rows[0])
    history = history_after(newcomers, known, user_row, num_events)
    assert history is not None
    assert history.num_events == num_events
    assert history.segment == ""
    times = known.times[known.user_rows == user_row]
    assert history.last_event_time >= times[-1]
    assert history.first_event_time >= times[-num_events]


def test_of_a_new_user_nothing_is_stored(newcomers: Newcomers, known: Snapshot) -> None:
    assert not newcomers.store(int(known.user_rows[0]), 0).blobs
    assert history_after(newcomers, known, int(known.user_rows[0]), 0) is None


def test_who_has_fewer_events_has_those(newcomers: Newcomers, known: Snapshot) -> None:
    whole = UserRowsAsOf(known)
    for user_row in np.unique(known.user_rows)[:3].tolist():
        rows = {row.view.name: row.pack() for row in whole.rows_of(user_row)}
        blobs = newcomers.store(user_row, EVERYTHING).blobs
        assert blobs[USER_ACTIVITY.name] == rows[USER_ACTIVITY.name]
        mine = history_after(newcomers, known, user_row, EVERYTHING)
        assert mine is not None
        assert mine.num_events == known.num_user_events[user_row]
