"""LogEvents through gRPC, part of benchmark `features`: acknowledged means on disk.

A collector of its own with an embedded log, no ranker at work beside it. Batches are
made before the clock starts. Single calls send the next batch when the last one is
acknowledged; the stream has some on their way. Then the collector ends and its log is
read: an event that was acknowledged and is not there once was lost.
"""

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from bench.report import BenchRow, at_least, at_most
from server_process import server_process
from stepwell.stores.event_log import MAX_READ_EVENTS
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import common_pb2, feedback_pb2

if TYPE_CHECKING:
    # The build takes dependencies from imports: the child is started from its file.
    import event_collector_main  # noqa: F401

BATCH = 100
MIN_EVENTS_PER_S = 10_000.0
NUM_CALLERS = 4
NUM_ON_THE_WAY = 8
_MOST_EVENTS_PER_S = 60_000
"""So many are made for a second; who is faster ends earlier."""
_SERVICE = "/stepwell_pb.v1.FeedbackService/"
_LOSS = "the same: events acknowledged and not in the log once"
_EVENT_TIME = 1_500_000_000

Sender = Callable[[grpc.Channel, Sequence[bytes], float], int]
"""Sends batches until the time is over; returns how many were acknowledged, all of
them the first ones."""


def log_rows(seconds: float) -> list[BenchRow]:
    """Returns the rows; two times `seconds` of load and some 10 more."""
    ways: list[tuple[str, Sender]] = [
        (f"in single calls, {NUM_CALLERS} callers", single_calls),
        (f"by one stream, {NUM_ON_THE_WAY} batches on their way", one_stream),
    ]
    return [row for way, send in ways for row in _rows(way, send, seconds)]


def rows_of(way: str, num_events: int, seconds: float, num_lost: int) -> list[BenchRow]:
    """Returns the verdict on events that were acknowledged."""
    work = f"LogEvents durable, embedded log, batches of {BATCH}, {way}"
    return [
        at_least(work, num_events / seconds, "events/s", MIN_EVENTS_PER_S),
        at_most(_LOSS, float(num_lost), "events", 0.0),
    ]


def batch(number: int) -> feedback_pb2.LogEventsRequest:
    """Returns events that no other batch has."""
    places = range(number * BATCH, (number + 1) * BATCH)
    return feedback_pb2.LogEventsRequest(
        events=[
            feedback_pb2.Event(
                # As clients make them: no order, so each falls on a page of its own.
                event_id=f"{place * 0x9E3779B97F4A7C15 % (1 << 64):016x}",
                user_id=f"user-{place * 7 % 5_003}",
                item_id=f"item-{place * 13 % 20_011}",
                event_type=common_pb2.EVENT_TYPE_PURCHASE,
                event_time_seconds=_EVENT_TIME,
                value=1.0,
            )
            for place in places
        ]
    )


def num_lost(log: Path, num_batches: int) -> int:
    """Returns how many events of the first batches are not in the log exactly once."""
    counts: Counter[str] = Counter()
    with closing(LmdbEventLog(log)) as opened:
        offset = 0
        while events := opened.read(offset, MAX_READ_EVENTS):
            counts.update(event.event_id for event in events)
            offset = events[-1].offset + 1
    sent = (event.event_id for n in range(num_batches) for event in batch(n).events)
    return sum(counts[name] != 1 for name in sent)


def single_calls(
    channel: grpc.Channel, requests: Sequence[bytes], seconds: float
) -> int:
    """Some callers, each with one batch on its way. See Sender."""
    call = channel.unary_unary(f"{_SERVICE}LogEvents", _as_it_is, _as_it_is)
    # In turn, from one place: at the end the first so many have gone, and no other.
    left, turn = iter(requests), threading.Lock()
    end = time.perf_counter() + seconds

    def keep_calling(_: int) -> int:
        number = 0
        while time.perf_counter() < end:
            with turn:
                request = next(left, None)
            if request is None:
                break
            call(request, timeout=60)
            number += 1
        return number

    with ThreadPoolExecutor(NUM_CALLERS) as callers:
        return sum(callers.map(keep_calling, range(NUM_CALLERS)))


def one_stream(channel: grpc.Channel, requests: Sequence[bytes], seconds: float) -> int:
    """One stream that waits for the oldest of some batches. See Sender."""
    call = channel.stream_stream(f"{_SERVICE}LogEventsStream", _as_it_is, _as_it_is)
    room = threading.Semaphore(NUM_ON_THE_WAY)
    end = time.perf_counter() + seconds

    def sent() -> Iterator[bytes]:
        for request in requests:
            room.acquire()
            if time.perf_counter() >= end:
                return
            yield request

    number = 0
    for _ in call(sent(), timeout=60 + seconds):
        number += 1
        room.release()
    return number


def _as_it_is(message: Any) -> Any:
    return message


def _rows(way: str, send: Sender, seconds: float) -> list[BenchRow]:
    num_made = int(seconds * _MOST_EVENTS_PER_S / BATCH)
    requests = [batch(number).SerializeToString() for number in range(num_made)]
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "events"
        with server_process("event_collector_main", [f"--event_log={log}"]) as server:
            with grpc.insecure_channel(server.address) as channel:
                started = time.perf_counter()
                num_batches = send(channel, requests, seconds)
                took = time.perf_counter() - started
            server.terminate()
        return rows_of(way, num_batches * BATCH, took, num_lost(log, num_batches))
