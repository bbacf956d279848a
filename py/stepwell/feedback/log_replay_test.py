"""A replay makes the store again, byte for byte, and names what is not so."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import FailedPreconditionError
from stepwell.base.metrics import Metrics
from stepwell.feedback.item_activity import SNAPSHOT_INTERVAL_US, ItemActivity
from stepwell.feedback.log_replay import LogReplay, ReplayReport
from stepwell.feedback.updater_fixture import DAY, history_of, purchase, updater_of
from stepwell.feedback.user_history_updater import (
    CONSUMER,
    OFFSETS_VIEW,
    USER_HISTORY_VIEW,
    packed_offset,
    paused_offset,
)
from stepwell.feedback.user_state_file import UserStateFile, write_user_state
from stepwell.feedback.user_state_import import import_user_state
from stepwell.schema.events import HISTORY_EVENT_TYPES
from stepwell.schema.history_row import history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import entity_keys
from stepwell.stores.event_log import EventRecord
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore

NUM_EVENTS = 90


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[LmdbKeyValueStore]:
    opened = LmdbKeyValueStore(tmp_path / "scratch.lmdb")
    yield opened
    opened.close()


@pytest.fixture
def state(tmp_path: Path) -> UserStateFile:
    """Two users with a history; the second one is in no log."""
    history = UserHistory.from_events(entity_keys(["i1", "i2"]), np.array([DAY, DAY]))
    rows = [history_row(history)]
    write_user_state(tmp_path / "state", [("u0", rows), ("quiet", rows)])
    return UserStateFile.load(tmp_path / "state")


def lines() -> list[EventRecord]:
    chance = np.random.default_rng(11)
    return [
        purchase(
            n, f"u{n % 4}", f"i{chance.integers(5)}", int(chance.integers(99)) * DAY
        )
        for n in range(NUM_EVENTS)
    ]


def replayed(
    log: LmdbEventLog,
    store: LmdbKeyValueStore,
    scratch: LmdbKeyValueStore,
    state: UserStateFile | None = None,
) -> ReplayReport:
    replay = LogReplay(log, store, scratch, FakeClock(), state)
    return replay.run(HISTORY_EVENT_TYPES, lambda _done, _total: None)


def test_a_store_that_followed_the_log_is_made_again_byte_for_byte(
    log: LmdbEventLog,
    store: LmdbKeyValueStore,
    scratch: LmdbKeyValueStore,
    state: UserStateFile,
) -> None:
    clock = FakeClock()
    items = ItemActivity(log, store, clock, Metrics())
    for number, line in enumerate(lines()):
        log.append([line])
        updater_of(log, store).catch_up()
        if number == NUM_EVENTS // 2:
            # Later than some events: those of u0 are folded in again on top of it.
            import_user_state(state, store)
            items.catch_up()
            clock.advance_us(SNAPSHOT_INTERVAL_US)
            assert items.keep_when_due()
    report = replayed(log, store, scratch, state)
    assert report.identical
    assert (report.num_users, report.num_rows) == (5, 10)
    assert report.num_lines == NUM_EVENTS
    assert report.items_same is True


def test_a_row_that_the_log_does_not_make_is_named(
    log: LmdbEventLog, store: LmdbKeyValueStore, scratch: LmdbKeyValueStore
) -> None:
    log.append(lines())
    updater_of(log, store).catch_up()
    changed = history_of(store, "u2").applied(7, DAY)
    store.put_many(USER_HISTORY_VIEW, {"u2": history_row(changed).pack()})
    report = replayed(log, store, scratch)
    assert not report.identical
    assert report.num_different == 1
    assert report.different == [(USER_HISTORY_VIEW, "u2")]
    assert report.items_same is None


def test_a_store_begun_with_another_state_differs(
    log: LmdbEventLog,
    store: LmdbKeyValueStore,
    scratch: LmdbKeyValueStore,
    state: UserStateFile,
) -> None:
    log.append(lines())
    updater_of(log, store).catch_up()
    report = replayed(log, store, scratch, state)
    assert ("user_history", "u0") in report.different
    assert ("user_history", "quiet") in report.different


def test_a_log_that_has_forgotten_lines_is_refused(
    log: LmdbEventLog, store: LmdbKeyValueStore, scratch: LmdbKeyValueStore
) -> None:
    log.append(lines())
    updater_of(log, store).catch_up()
    log.trim(5)
    with pytest.raises(FailedPreconditionError, match="begins at offset 5"):
        replayed(log, store, scratch)


def test_a_store_that_an_import_replaces_is_refused(
    log: LmdbEventLog, store: LmdbKeyValueStore, scratch: LmdbKeyValueStore
) -> None:
    store.put_many(OFFSETS_VIEW, {CONSUMER: paused_offset()})
    with pytest.raises(FailedPreconditionError, match="import"):
        replayed(log, store, scratch)


def test_a_log_that_ends_before_the_store_does_is_refused(
    log: LmdbEventLog, store: LmdbKeyValueStore, scratch: LmdbKeyValueStore
) -> None:
    log.append(lines()[:3])
    store.put_many(OFFSETS_VIEW, {CONSUMER: packed_offset(4)})
    with pytest.raises(FailedPreconditionError, match="was another log"):
        replayed(log, store, scratch)
