"""Streams of events into real processes: in order, durable, drained, sent again."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import grpc
import pytest

from integration.event_collector_test import batch, stored_names
from server_process import ServerProcess, server_process
from stepwell.base.errors import UnavailableError
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Event, EventType, Stored
from stepwell_pb.v1 import feedback_pb2, feedback_pb2_grpc

PATIENT = ClientOptions(deadline_ms=60_000)
T = TypeVar("T")
Batches = SimpleQueue[feedback_pb2.LogEventsRequest | None]


def bought(name: str) -> Event:
    return Event(name, "u", "milk", EventType.PURCHASE, 1_500_000_000)


def call_of(channel: grpc.Channel, batches: Batches) -> Iterator[Any]:
    stub = feedback_pb2_grpc.FeedbackServiceStub(channel)
    call: Iterator[Any] = stub.LogEventsStream(iter(batches.get, None))
    return call


def test_every_batch_has_its_answer_in_its_turn(tmp_path: Path) -> None:
    log = tmp_path / "events.lmdb"
    with server_process("event_collector_main", [f"--event_log={log}"]) as collector:
        with grpc.insecure_channel(collector.address) as channel:
            batches: Batches = SimpleQueue()
            # As many repeats as its number tells the answers apart.
            for number in range(40):
                names = [f"{number}-{n}" for n in range(20)]
                batches.put(batch(names + names[: number % 20]))
            batches.put(None)
            answers = list(call_of(channel, batches))
        assert [a.num_stored for a in answers] == [20] * 40
        assert [a.num_duplicates for a in answers] == [n % 20 for n in range(40)]
        assert collector.terminate() == 0
    assert stored_names(log) == [f"{b}-{n}" for b in range(40) for n in range(20)]


def test_a_bad_batch_ends_the_stream_behind_the_answers_before_it(
    tmp_path: Path,
) -> None:
    log = tmp_path / "events.lmdb"
    with server_process("event_collector_main", [f"--event_log={log}"]) as collector:
        with grpc.insecure_channel(collector.address) as channel:
            batches: Batches = SimpleQueue()
            for names in (["a"], ["b"], ["c", ""], ["d"]):
                batches.put(batch(names))
            call = call_of(channel, batches)
            assert [next(call).num_stored, next(call).num_stored] == [1, 1]
            with pytest.raises(grpc.RpcError, match=r"events\[1\].event_id") as caught:
                next(call)
            batches.put(None)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert collector.terminate() == 0
    assert stored_names(log) == ["a", "b"]


def test_a_drain_ends_an_idle_stream_at_once_and_says_so(tmp_path: Path) -> None:
    log = tmp_path / "events.lmdb"
    with server_process("event_collector_main", [f"--event_log={log}"]) as collector:
        with grpc.insecure_channel(collector.address) as channel:
            batches: Batches = SimpleQueue()
            batches.put(batch(["a"]))
            call = call_of(channel, batches)
            assert next(call).num_stored == 1
            assert collector.terminate() == 0
            with pytest.raises(grpc.RpcError, match="the server drains") as caught:
                next(call)
            batches.put(None)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


class Producer(threading.Thread):
    """Streams batches of five until it is told to stop, whatever the server does."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._address = address
        self.stopping = threading.Event()
        self.enough = threading.Event()
        self.sent: list[str] = []
        self.stored: Stored | None = None

    def run(self) -> None:
        with (
            RecommendClient(self._address, PATIENT) as client,
            client.event_stream() as stream,
        ):
            while not self.stopping.is_set():
                first = len(self.sent)
                names = [f"{first + place}" for place in range(5)]
                events = [bought(name) for name in names]
                self._persist(partial(stream.send, events))
                self.sent.extend(names)
                if len(self.sent) >= 500:
                    self.enough.set()
            self.stored = self._persist(stream.flush)

    def _persist(self, action: Callable[[], T]) -> T:
        while True:
            try:
                return action()
            except UnavailableError:
                self.stopping.wait(0.01)


def end(collector: ServerProcess, how: str) -> None:
    if how == "SIGKILL":
        collector.kill()
    else:
        assert collector.terminate() == 0


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_a_producer_goes_on_with_the_next_server_and_loses_nothing(
    tmp_path: Path, how: str
) -> None:
    log = tmp_path / "events.lmdb"
    arguments = [f"--event_log={log}"]
    with server_process("event_collector_main", arguments) as first:
        producer = Producer(first.address)
        producer.start()
        assert producer.enough.wait(60)
        end(first, how)
    with server_process("event_collector_main", [*arguments, f"--port={first.port}"]):
        producer.stopping.set()
        producer.join(60)
    assert not producer.is_alive()
    stored = Counter(stored_names(log))
    assert set(stored.values()) == {1}
    assert stored.keys() == set(producer.sent)
    assert producer.stored is not None
    known = producer.stored.num_stored + producer.stored.num_duplicates
    assert known == len(producer.sent)
