"""The log forgets what is both old and applied, and nothing else."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import lmdb
import pytest
import structlog

from stepwell.base.clock import FakeClock
from stepwell.base.metric_names import EVENT_LOG_SIZE, EVENTS_TRIMMED
from stepwell.base.metrics import Metrics
from stepwell.feedback.log_retention import EventLogRetention
from stepwell.feedback.logged_events import event_record
from stepwell.stores.event_log import EventRecord
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import feedback_pb2

DAY_US = 86_400 * 1_000_000
MINUTE_US = 60 * 1_000_000


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LmdbEventLog]:
    opened = LmdbEventLog(tmp_path / "events.lmdb")
    yield opened
    opened.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def fill(log: LmdbEventLog, clock: FakeClock, *ages_days: int) -> None:
    for age in ages_days:
        line = feedback_pb2.Event(event_id=f"{age} days", user_id="u", item_id="milk")
        log.append([event_record(line, clock.wall_us() - age * DAY_US)])


def left(log: LmdbEventLog) -> list[str]:
    return [stored.event_id for stored in log.read(0, 100)]


def test_forgets_what_is_older_than_it_keeps(
    log: LmdbEventLog, clock: FakeClock
) -> None:
    fill(log, clock, 40, 31, 29, 0)
    metrics = Metrics()
    retention = EventLogRetention(log, clock, metrics, keep_days=30)
    assert retention.trim_when_due(log.end_offset()) == 2
    assert left(log) == ["29 days", "0 days"]
    assert metrics.value(EVENTS_TRIMMED) == 2
    assert metrics.value(EVENT_LOG_SIZE) == log.size_bytes() > 0


@pytest.mark.parametrize(("consumed", "expected"), [(1, 1), (0, 0), (None, 0)])
def test_keeps_what_the_consumer_has_not_applied(
    log: LmdbEventLog, clock: FakeClock, consumed: int | None, expected: int
) -> None:
    fill(log, clock, 50, 40, 31)
    retention = EventLogRetention(log, clock, Metrics())
    assert retention.trim_when_due(consumed) == expected


def test_a_line_that_cannot_be_read_goes_with_those_before_it(
    log: LmdbEventLog, clock: FakeClock
) -> None:
    fill(log, clock, 40)
    log.append([EventRecord("garbage", b"\xff\xff")])
    fill(log, clock, 1)
    EventLogRetention(log, clock, Metrics()).trim_when_due(log.end_offset())
    assert left(log) == ["1 days"]


def test_a_line_whose_checksum_fails_goes_with_those_before_it(
    log: LmdbEventLog, clock: FakeClock, tmp_path: Path
) -> None:
    fill(log, clock, 45, 44, 43, 42, 41, 29, 28)
    path = tmp_path / "events.lmdb"
    log.close()
    with lmdb.open(str(path), max_dbs=8) as environment:
        events = environment.open_db(b"events")
        with environment.begin(events, write=True) as transaction:
            for offset in (0, 3, 6):
                key = offset.to_bytes(8, "big")
                frame = bytearray(transaction.get(key) or b"")
                frame[-1] ^= 1
                transaction.put(key, bytes(frame))
    with closing(LmdbEventLog(path)) as damaged:
        retention = EventLogRetention(damaged, clock, Metrics(), keep_days=30)
        assert retention.trim_when_due(damaged.end_offset()) == 5
        assert damaged.first_offset() == 5


def test_looks_once_a_minute(log: LmdbEventLog, clock: FakeClock) -> None:
    retention = EventLogRetention(log, clock, Metrics(), keep_days=1)
    assert retention.trim_when_due(0) == 0
    fill(log, clock, 2)
    clock.advance_us(MINUTE_US - 1)
    assert retention.trim_when_due(1) == 0
    clock.advance_us(1)
    assert retention.trim_when_due(1) == 1


def test_a_long_backlog_is_forgotten_in_several_calls_without_a_pause(
    log: LmdbEventLog, clock: FakeClock
) -> None:
    old_us = clock.wall_us() - 40 * DAY_US
    for start in range(0, 21_000, 1_000):
        lines = [
            event_record(feedback_pb2.Event(event_id=f"e{n}"), old_us)
            for n in range(start, start + 1_000)
        ]
        log.append(lines)
    retention = EventLogRetention(log, clock, Metrics())
    assert retention.trim_when_due(21_000) == 20_000
    assert retention.trim_when_due(21_000) == 1_000
    assert left(log) == []


def test_the_oldest_go_while_the_log_is_larger_than_it_may_be(
    log: LmdbEventLog, clock: FakeClock
) -> None:
    for batch in range(5):
        lines = [
            feedback_pb2.Event(event_id=f"e{name}", user_id="u" * 500)
            for name in range(1_000 * batch, 1_000 * (batch + 1))
        ]
        log.append([event_record(line, clock.wall_us()) for line in lines])
    max_bytes = log.size_bytes() // 2
    retention = EventLogRetention(log, clock, Metrics(), max_bytes=max_bytes)
    with structlog.testing.capture_logs() as said:
        assert retention.trim_when_due(log.end_offset()) == 3_000
    assert log.size_bytes() <= max_bytes
    assert left(log)[0] == "e3000"
    assert [(line["event"], line["num_forgotten"]) for line in said] == [
        ("the event log is larger than it may be", 3_000)
    ]
    clock.advance_us(MINUTE_US)
    assert retention.trim_when_due(log.end_offset()) == 0


def test_what_is_not_applied_stays_however_large_the_log_is(
    log: LmdbEventLog, clock: FakeClock
) -> None:
    fill(log, clock, 3, 2, 1)
    retention = EventLogRetention(log, clock, Metrics(), max_bytes=0)
    assert retention.trim_when_due(1) == 1
    assert left(log) == ["2 days", "1 days"]
