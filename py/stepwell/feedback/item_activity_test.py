"""Items' state follows the log, comes back from its snapshot, and shows in overlays."""

import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from stepwell.base.clock import FakeClock
from stepwell.base.errors import FailedPreconditionError
from stepwell.base.metric_names import ITEMS_LEFT_OUT
from stepwell.base.metrics import Metrics
from stepwell.feedback import item_state
from stepwell.feedback.item_activity import (
    HEAD,
    RANKING_INTERVAL_US,
    SNAPSHOT_INTERVAL_US,
    SNAPSHOT_VIEW,
    ItemActivity,
)
from stepwell.feedback.log_follower import LogFollower
from stepwell.feedback.logged_events import event_record, impression_record
from stepwell.schema.feature_registry import ITEM_ACTIVITY
from stepwell.schema.vocabulary import Vocabulary
from stepwell.stores.event_log import EventRecord
from stepwell.stores.key_value_store import KeyValueStore
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import common_pb2, feedback_pb2

NOW = 1_500_000_000
DAY = 86_400
ITEMS = Vocabulary.build(["milk", "bread", "tea"])
PATIENCE_S = 30.0


def bought(number: int, item: str, time: int = NOW) -> EventRecord:
    event = feedback_pb2.Event(
        event_id=f"e{number}",
        user_id="u",
        item_id=item,
        event_type=common_pb2.EVENT_TYPE_PURCHASE,
        event_time_seconds=time,
    )
    return event_record(event, time * 1_000_000)


def zeros() -> np.ndarray:
    return np.zeros(len(ITEMS), ITEM_ACTIVITY.row_dtype)


def activity_of(log: LmdbEventLog, store: KeyValueStore) -> ItemActivity:
    return ItemActivity(log, store, FakeClock(NOW), Metrics())


def test_an_overlay_shows_what_was_logged_before_it_and_after(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    shown = impression_record(feedback_pb2.Impression(request_id="r"), 0)
    log.append([bought(1, "bread"), shown, bought(2, "unknown")])
    activity = activity_of(log, store)
    assert activity.catch_up() == 3
    overlay = activity.overlay_of(ITEMS, zeros())
    rows = overlay.rows
    assert rows["purchase_decayed_1d"].tolist() == [0, 1, 0]
    assert (overlay.next_offset, overlay.version) == (3, 2)
    log.append([bought(3, "tea"), bought(4, "tea", NOW - DAY)])
    activity.catch_up()
    assert rows["purchase_decayed_1d"].tolist() == [0, 1, 1.5]
    assert rows["purchase_last_time"].tolist() == [0, NOW, NOW]
    assert (overlay.next_offset, overlay.version) == (5, 4)


def test_a_releases_own_counts_are_added_and_stay_as_they_are(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    base = zeros()
    base["purchase_decayed_7d"] = 4.0
    base["purchase_last_time"] = NOW - 7 * DAY
    before = base.copy()
    activity = activity_of(log, store)
    overlay = activity.overlay_of(ITEMS, base)
    log.append([bought(1, "milk")])
    activity.catch_up()
    assert overlay.rows["purchase_decayed_7d"].tolist() == [3, 4, 4]
    np.testing.assert_array_equal(base, before)


def test_steps_of_any_size_and_a_snapshot_between_give_the_same_bytes(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    chance = np.random.default_rng(5)
    lines = [
        bought(n, f"i{chance.integers(9)}", NOW + int(chance.integers(DAY)))
        for n in range(60)
    ]
    clock = FakeClock(NOW)
    first = ItemActivity(log, store, clock, Metrics())
    for line in lines[:30]:
        log.append([line])
        first.catch_up()
    clock.advance_us(SNAPSHOT_INTERVAL_US)
    assert first.keep_when_due()
    log.append(lines[30:])
    second, from_start = activity_of(log, store), activity_of(log, store)
    assert second.restore()
    assert second.next_offset == 30
    for activity in (first, second, from_start):
        activity.catch_up()
        assert activity.next_offset == 60
    assert first.packed() == second.packed() == from_start.packed()
    up_to_there = activity_of(log, store)
    up_to_there.catch_up(up_to=30)
    assert up_to_there.next_offset == 30
    assert up_to_there.packed() != first.packed()


def test_of_two_processes_one_keeps_the_minutes_snapshot(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    clock = FakeClock(NOW)
    one, other = (ItemActivity(log, store, clock, Metrics()) for _ in range(2))
    kept = []
    for number in range(3):
        log.append([bought(number, "milk")])
        clock.advance_us(SNAPSHOT_INTERVAL_US)
        for activity in (one, other):
            activity.catch_up()
            kept.append(activity.keep_when_due())
    assert kept == [True, False] * 3
    assert not one.keep_when_due()


@pytest.mark.parametrize(
    ("part", "blob", "reason"),
    [
        ("0", b"?", "different times"),
        (HEAD, b"?", "head has"),
        (HEAD, struct.pack("<qq", 1, 1 << 62), "head names"),
        (HEAD, struct.pack("<qq", 1, -1), "head names"),
        (HEAD, struct.pack("<qq", -1, 0), "head names"),
    ],
)
def test_a_damaged_snapshot_is_left_and_the_log_folded_from_its_start(
    log: LmdbEventLog, store: KeyValueStore, part: str, blob: bytes, reason: str
) -> None:
    log.append([bought(1, "milk")])
    clock = FakeClock(NOW)
    first = ItemActivity(log, store, clock, Metrics())
    first.catch_up()
    clock.advance_us(SNAPSHOT_INTERVAL_US)
    assert first.keep_when_due()
    store.put_many(SNAPSHOT_VIEW, {part: blob})
    second = activity_of(log, store)
    with capture_logs() as said:
        assert not second.restore()
    assert reason in said[0]["error"]
    second.catch_up()
    assert second.packed() == first.packed()
    # The next one that is due replaces it.
    clock.advance_us(SNAPSHOT_INTERVAL_US)
    log.append([bought(2, "milk")])
    first.catch_up()
    if part == HEAD:
        assert first.keep_when_due()
        assert activity_of(log, store).restore()


def test_a_snapshot_of_another_log_is_left(
    log: LmdbEventLog, store: KeyValueStore, tmp_path: Path
) -> None:
    log.append([bought(n, "milk") for n in range(9)])
    clock = FakeClock(NOW)
    first = ItemActivity(log, store, clock, Metrics())
    first.catch_up()
    clock.advance_us(SNAPSHOT_INTERVAL_US)
    assert first.keep_when_due()
    emptied = LmdbEventLog(tmp_path / "emptied")
    other = ItemActivity(emptied, store, clock, Metrics())
    assert not other.restore()
    clock.advance_us(SNAPSHOT_INTERVAL_US)
    assert other.keep_when_due()
    emptied.close()


def test_a_log_put_back_under_it_is_told_and_its_age_grows(
    log: LmdbEventLog, store: KeyValueStore, tmp_path: Path
) -> None:
    log.append([bought(n, "milk") for n in range(9)])
    clock = FakeClock(NOW)
    activity = ItemActivity(log, store, clock, Metrics())
    activity.catch_up()
    copy = LmdbEventLog(tmp_path / "copy")
    copy.append([bought(1, "milk")])
    activity._event_log = copy
    clock.advance_us(2_000_000)
    with pytest.raises(FailedPreconditionError, match="was another log"):
        activity.catch_up()
    assert activity.age_seconds() == 2
    copy.close()


def test_what_rises_is_what_grew_within_a_day_and_only_what_the_log_speaks_of(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    base = zeros()
    base["purchase_decayed_1d"] = (0, 0, 50)
    base["purchase_decayed_7d"] = (0, 100, 50)
    base["purchase_last_time"] = NOW
    clock = FakeClock(NOW)
    activity = ItemActivity(log, store, clock, Metrics())
    overlay = activity.overlay_of(ITEMS, base)
    log.append([bought(n, "milk") for n in range(8)])
    log.append([bought(n, "bread") for n in range(8, 16)])
    activity.catch_up()
    activity.rank_when_due()
    rows, growth = overlay.rising
    assert rows.tolist() == [0]
    assert growth.tolist() == pytest.approx([(8 - 9 / 7) / np.sqrt(9 / 7 + 1)])
    # Two days later eight purchases are two, and nothing rises any more.
    clock.advance_us(2 * DAY * 1_000_000)
    activity.rank_when_due()
    assert len(overlay.rising[0]) == 0
    before = overlay.rising
    clock.advance_us(RANKING_INTERVAL_US - 1)
    activity.rank_when_due()
    assert overlay.rising is before


def test_its_age_is_the_time_since_it_was_caught_up(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    clock = FakeClock(NOW)
    activity = ItemActivity(log, store, clock, Metrics())
    assert activity.age_seconds() == np.inf
    activity.catch_up()
    clock.advance_us(2_500_000)
    assert activity.age_seconds() == 2.5
    activity.catch_up()
    assert activity.age_seconds() == 0


def test_items_beyond_the_bound_are_counted(
    log: LmdbEventLog, store: KeyValueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_state, "MAX_ITEMS", 2)
    metrics = Metrics()
    log.append([bought(n, f"i{n}") for n in range(5)])
    ItemActivity(log, store, FakeClock(NOW), metrics).catch_up()
    assert metrics.value(ITEMS_LEFT_OUT) == 3


def test_an_overlay_that_nobody_holds_is_forgotten(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    activity = activity_of(log, store)
    activity.overlay_of(ITEMS, zeros())
    held = activity.overlay_of(ITEMS, zeros())
    assert list(activity._overlays) == [held]


class Told:
    """Remembers that it was called, and lets a test wait for it."""

    def __init__(self) -> None:
        self._called = threading.Semaphore(0)

    def __call__(self) -> None:
        self._called.release()

    def within(self, seconds: float) -> bool:
        return self._called.acquire(timeout=seconds)


def test_a_follower_folds_what_others_log_and_says_that_there_was_something(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    activity, told = activity_of(log, store), Told()
    overlay = activity.overlay_of(ITEMS, zeros())
    follower = LogFollower(log, activity, told)
    try:
        log.append([bought(1, "tea")])
        assert told.within(PATIENCE_S)
        assert overlay.rows["purchase_decayed_1d"].tolist() == [0, 0, 1]
        log.append([bought(2, "tea")])
        assert told.within(PATIENCE_S)
        assert overlay.next_offset == 2
    finally:
        follower.close()
    log.append([bought(3, "tea")])
    assert not told.within(0.0)
    assert activity.next_offset == 2
