"""What the servicer of events adds to a batch and what it refuses, without a wire."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from stepwell.base.clock import Clock, FakeClock, SystemClock
from stepwell.base.errors import InvalidArgumentError
from stepwell.base.metrics import Metrics
from stepwell.feedback.logged_events import decoded
from stepwell.serving.feedback_servicer import FeedbackServicer
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import common_pb2, feedback_pb2

DATA_END = 1_500_000_000
_NO_CONTEXT = cast(Any, None)  # the servicer reads nothing of it


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LmdbEventLog]:
    opened = LmdbEventLog(tmp_path / "events.lmdb")
    yield opened
    opened.close()


def _bought(event_id: str, time: int = 0) -> feedback_pb2.Event:
    return feedback_pb2.Event(
        event_id=event_id,
        user_id="u",
        item_id="milk",
        event_type=common_pb2.EVENT_TYPE_PURCHASE,
        event_time_seconds=time,
    )


async def _log(
    log: LmdbEventLog, clock: Clock, *events: feedback_pb2.Event
) -> feedback_pb2.LogEventsResponse:
    servicer = FeedbackServicer(log, clock, Metrics())
    request = feedback_pb2.LogEventsRequest(events=events)
    return await servicer.LogEvents(request, _NO_CONTEXT)


async def test_a_line_says_when_the_log_took_it_in_not_when_it_happened(
    log: LmdbEventLog,
) -> None:
    clock = SystemClock.starting_at(DATA_END)
    before_us = clock.wall_us()
    await _log(log, clock, _bought("now"), _bought("then", DATA_END - 9))
    lines = [decoded(stored) for stored in log.read(0, 10)]
    for line in lines:
        assert before_us <= line.ingestion_time_us <= clock.wall_us()
    times = [
        line.event.event_time_seconds
        for line in lines
        if isinstance(line.event, feedback_pb2.Event)
    ]
    assert DATA_END <= times[0] <= DATA_END + 60
    assert times[1] == DATA_END - 9


async def test_an_event_may_lie_a_day_ahead_of_the_servers_now_and_no_more(
    log: LmdbEventLog,
) -> None:
    clock, latest = FakeClock(DATA_END), DATA_END + 86_400
    await _log(log, clock, _bought("at the limit", latest))
    with pytest.raises(InvalidArgumentError) as caught:
        await _log(log, clock, _bought("fine"), _bought("beyond", latest + 1))
    assert str(caught.value) == (
        "events[1].event_time_seconds is 1500086401, must be in [0, 1500086400] s: "
        "now and a day"
    )
    assert caught.value.field == "events[1].event_time_seconds"
    assert log.end_offset() == 1
