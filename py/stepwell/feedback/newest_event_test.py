"""The time that the log tells: the server's own, and clients' within a day of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stepwell.feedback.logged_events import event_record, impression_record
from stepwell.feedback.newest_event import newest_event_seconds
from stepwell.stores.event_log import EventRecord
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import feedback_pb2

START = 1_500_000_000
DAY = 86_400


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LmdbEventLog]:
    opened = LmdbEventLog(tmp_path / "events.lmdb")
    yield opened
    opened.close()


def event(time: int, name: str = "") -> EventRecord:
    line = feedback_pb2.Event(event_id=name or f"e{time}", event_time_seconds=time)
    return event_record(line, 0)


def shown(time: int) -> EventRecord:
    slate = feedback_pb2.Impression(request_id=f"r{time}", event_time_seconds=time)
    return impression_record(slate, 0)


def test_an_empty_log_tells_no_more_than_what_is_known(log: LmdbEventLog) -> None:
    assert newest_event_seconds(log, START) == START


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([event(START - 9)], START),
        ([event(START + 9), event(START + 5)], START + 9),
        ([event(START + DAY), event(START + 2 * DAY)], START + 2 * DAY),
        ([event(START + 10 * DAY)], START),
        ([shown(START + 10 * DAY)], START + 10 * DAY),
        ([shown(START + 10 * DAY), event(START + 11 * DAY)], START + 11 * DAY),
        ([event(START + 9), EventRecord("garbage", b"\xff\xff")], START + 9),
    ],
)
def test_the_latest_time_that_can_be_believed(
    log: LmdbEventLog, lines: list[EventRecord], expected: int
) -> None:
    log.append(lines)
    assert newest_event_seconds(log, START) == expected


def test_only_the_last_lines_are_read(log: LmdbEventLog) -> None:
    log.append([shown(START + DAY)])
    for start in (0, 1_000):
        log.append([event(START, f"e{n}") for n in range(start, start + 1_000)])
    assert newest_event_seconds(log, START) == START
