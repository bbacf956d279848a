"""LogEvents of benchmark `features`: small amounts through a real collector."""

from pathlib import Path

from bench.features_log import BATCH, batch, log_rows, num_lost, rows_of
from stepwell.stores.event_log import EventRecord
from stepwell.stores.lmdb_event_log import LmdbEventLog


def test_both_ways_acknowledge_events_and_lose_none() -> None:
    rows = log_rows(0.1)
    assert [row.unit for row in rows] == ["events/s", "events"] * 2
    assert all(row.ours > 0 for row in rows[::2])
    assert all(row.holds and row.ours == 0 for row in rows[1::2])


def test_too_slow_or_a_lost_event_does_not_hold() -> None:
    assert all(row.holds for row in rows_of("", 50_000, 5.0, 0))
    assert [row.holds for row in rows_of("", 49_999, 5.0, 1)] == [False, False]


def test_what_is_not_in_the_log_was_lost(tmp_path: Path) -> None:
    names = [event.event_id for number in range(2) for event in batch(number).events]
    assert len(set(names)) == 2 * BATCH
    log = LmdbEventLog(tmp_path)
    log.append([EventRecord(name, b"") for name in names[:-3]])
    log.close()
    assert num_lost(tmp_path, 1) == 0
    assert num_lost(tmp_path, 2) == 3
