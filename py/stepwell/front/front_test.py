"""The front with real callers: answers, failures, metadata, the side, and its end."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.front.admission_queue import AdmissionQueue
from stepwell.front.call import Call
from stepwell.front.extension import load_extension
from stepwell.front.front import (
    EntryLimit,
    Front,
    FrontCounters,
    FrontOptions,
    Method,
    SideEvent,
    SideKind,
)

METHODS = (
    Method("/test.Queued/Echo", queued=True, priority_field=6, deadline_ms_field=5),
    Method("/test.Side/Unary"),
    Method("/test.Side/Stream", streaming=True),
)
ONE = (EntryLimit(3, 2),)
NO_FIELD = (EntryLimit(0, 2),)
LONGEST_NS = 60_000_000_000


@contextmanager
def _front(
    options: FrontOptions | None = None,
) -> Iterator[tuple[Front, AdmissionQueue]]:
    queue = AdmissionQueue(8)
    front = Front(options or FrontOptions(), METHODS, queue)
    front.listen()
    try:
        yield front, queue
    finally:
        queue.close()
        front.close()


@contextmanager
def _answering(queue: AdmissionQueue, answer: Callable[[Call], None]) -> Iterator[None]:
    """A worker that takes and answers until the block ends."""

    def work() -> None:
        while (call := queue.take()) is not None:
            answer(call)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        queue.close()
        worker.join()


@contextmanager
def _channel(front: Front) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{front.port}") as channel:
        yield channel


@contextmanager
def _caller(front: Front, path: str) -> Iterator[Any]:
    with _channel(front) as channel:
        yield channel.unary_unary(path)


@contextmanager
def _echo(answer: Callable[[Call], None]) -> Iterator[Any]:
    """A caller of the queued method of a front with one worker."""
    with (
        _front() as (front, queue),
        _caller(front, "/test.Queued/Echo") as echo,
        _answering(queue, answer),
    ):
        yield echo


def _next_side(front: Front) -> SideEvent:
    ready, _, _ = select.select([front.side_fd], [], [], 20.0)
    assert ready
    (event,) = front.take_side()
    return event


def test_the_defaults_are_those_of_the_engine() -> None:
    native = load_extension()
    options, method = native.FrontOptions(), native.MethodOptions()
    for name, value in asdict(FrontOptions()).items():
        assert getattr(options, name) == value, name
    for name, value in asdict(Method("")).items():
        assert getattr(method, name) == value, name
    method.entry_limits = (EntryLimit(3, 2), EntryLimit(7, 0))
    assert method.entry_limits == ((3, 2), (7, 0))


def test_a_worker_answers_what_callers_ask() -> None:
    with _front() as (front, queue), _caller(front, "/test.Queued/Echo") as echo:
        with _answering(queue, lambda call: call.answer(call.message[::-1])):
            assert echo(b"abc", timeout=20.0) == b"cba"
            large = bytes(range(256)) * 900
            assert echo(large, timeout=20.0) == large[::-1]
        counters = front.counters()
    assert counters.num_calls == 2
    assert counters.num_connections == 1
    assert counters.bytes_in > len(large)
    assert isinstance(counters, FrontCounters)


def test_many_callers_at_once_get_each_their_own_answer() -> None:
    with _front() as (front, queue):
        # The caller waits for each of its own: the queue never holds more than four.
        def ask(name: str) -> None:
            with _caller(front, "/test.Queued/Echo") as echo:
                for number in range(50):
                    text = f"{name}/{number}".encode()
                    assert echo(text, timeout=20.0) == b"you said " + text
            done.append(name)

        done: list[str] = []
        with _answering(queue, lambda call: call.answer(b"you said " + call.message)):
            askers = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
    assert sorted(done) == ["a", "b", "c", "d"]


def test_a_call_brings_times_priority_and_metadata() -> None:
    seen: list[Call] = []

    def answer(call: Call) -> None:
        seen.append(call)
        call.answer(b"")

    sent = (("x-request-id", "r1"), ("trace-bin", b"\x00\xff"))
    with _echo(answer) as echo:
        before_us = time.monotonic_ns() // 1_000
        echo(b"\x30\x03", timeout=20.0, metadata=sent)
        echo(b"\x28\x88\x27")
        after_us = time.monotonic_ns() // 1_000
    first, second = seen
    assert (first.method, first.priority, first.has_deadline) == (0, 2, True)
    assert before_us <= first.arrived_us <= after_us
    assert first.deadline_us is not None
    # gRPC writes a time-out with few digits, rounded up.
    assert first.arrived_us < first.deadline_us <= first.arrived_us + 20_500_000
    assert set(sent) <= set(first.metadata)
    # The message's own deadline, 5,000 ms, without one of gRPC.
    assert not second.has_deadline
    assert second.deadline_us == second.arrived_us + 5_000_000


def test_a_failure_reaches_the_caller_whole() -> None:
    def fail(call: Call) -> None:
        call.fail(3, "k is 0 – 100 %", [("field", "k"), ("details-bin", b"\x00\xff")])

    with _echo(fail) as echo, pytest.raises(grpc.RpcError) as failed:
        echo(b"", timeout=20.0)
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert failed.value.details() == "k is 0 – 100 %"
    trailers: dict[str, str | bytes] = dict(failed.value.trailing_metadata())  # type: ignore[arg-type]
    assert (trailers["field"], trailers["details-bin"]) == ("k", b"\x00\xff")


def test_who_is_refused_is_told_when_to_come_back() -> None:
    with _front() as (front, queue), _caller(front, "/test.Queued/Echo") as echo:
        waiting = [echo.future(b"", timeout=20.0) for _ in range(9)]
        refused = next(future for future in _ended(waiting))
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused.details() == "overloaded: 8 requests are ahead"
        trailers = dict(refused.trailing_metadata())
        with _answering(queue, lambda call: call.answer(b"")):
            answered = [future for future in waiting if future is not refused]
            assert [future.result() for future in answered] == [b""] * 8
        assert front.counters().num_refused_overload == (1, 0, 0)
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    pushback_ms = int(trailers["grpc-retry-pushback-ms"])
    assert pushback_ms == info.retry_delay.ToMilliseconds() >= 2


def _ended(futures: list[Any]) -> Iterator[Any]:
    """The futures in the order of their ends."""
    ended: list[Any] = []
    one_more = threading.Semaphore(0)

    def note(future: Any) -> None:
        ended.append(future)
        one_more.release()

    for future in futures:
        future.add_done_callback(note)
    for place in range(len(futures)):
        one_more.acquire()
        yield ended[place]


def test_who_has_gone_is_no_longer_waiting() -> None:
    with _front() as (front, queue), _caller(front, "/test.Queued/Echo") as echo:
        gone = echo.future(b"gone", timeout=20.0)
        here = echo.future(b"here", timeout=20.0)
        _until(lambda: len(queue) == 2)
        gone.cancel()
        _until(lambda: len(queue) == 1)
        with _answering(queue, lambda call: call.answer(call.message)):
            assert here.result() == b"here"
        assert front.counters().num_cancelled == 1


def _until(holds: Callable[[], bool]) -> None:
    """Waits for what another thread brings about, for a minute at most."""
    waiting = threading.Event()
    deadline_ns = time.monotonic_ns() + LONGEST_NS
    while not holds():
        assert time.monotonic_ns() < deadline_ns
        waiting.wait(0.001)


@pytest.mark.parametrize(
    ("path", "message", "code"),
    [
        ("/test.Queued/Echo", b"x" * 1_001, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("/test.Queued/Other", b"", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_what_breaks_a_rule_of_the_port_is_refused_without_a_worker(
    path: str, message: bytes, code: grpc.StatusCode
) -> None:
    with (
        _front(FrontOptions(max_message_bytes=1_000)) as (front, _),
        _caller(front, path) as call,
        pytest.raises(grpc.RpcError) as refused,
    ):
        call(message, timeout=20.0)
    assert refused.value.code() is code


def test_a_side_call_is_answered_by_whoever_reads_the_descriptor() -> None:
    with _front() as (front, _), _caller(front, "/test.Side/Unary") as unary:
        answer = unary.future(b"question", timeout=20.0)
        event = _next_side(front)
        assert (event.kind, event.message) == (SideKind.MESSAGE, b"question")
        assert event.call.method == 1
        event.call.answer(b"answer")
        assert answer.result() == b"answer"
        assert front.take_side() == []


def test_a_stream_goes_both_ways_with_one_object_for_all_its_events() -> None:
    asked = threading.Semaphore(0)

    def questions() -> Iterator[bytes]:
        yield b"one"
        asked.acquire()
        yield b"two"
        asked.acquire()

    with _front() as (front, _), _channel(front) as channel:
        answers = channel.stream_stream("/test.Side/Stream")(questions(), timeout=20.0)
        first = _next_side(front)
        first.call.send(b"first")
        assert next(answers) == b"first"
        asked.release()
        second = _next_side(front)
        assert second.call is first.call
        assert (second.kind, second.message) == (SideKind.MESSAGE, b"two")
        asked.release()
        last = _next_side(front)
        assert (last.call, last.kind) == (first.call, SideKind.HALF_CLOSED)
        last.call.send(b"second")
        last.call.fail(0, "")
        assert list(answers) == [b"second"]
        assert answers.code() is grpc.StatusCode.OK


def test_the_side_hears_of_a_caller_who_goes() -> None:
    with _front() as (front, _), _caller(front, "/test.Side/Unary") as unary:
        gone = unary.future(b"", timeout=20.0)
        asked = _next_side(front)
        gone.cancel()
        event = _next_side(front)
        assert (event.kind, event.call) == (SideKind.CANCELLED, asked.call)
        assert event.call.is_cancelled
        event.call.answer(b"nobody listens")


def test_a_drained_front_serves_calls_under_way_and_takes_no_new_caller() -> None:
    with _front() as (front, queue), _caller(front, "/test.Queued/Echo") as echo:
        answer = echo.future(b"under way", timeout=20.0)
        _until(lambda: len(queue) == 1)
        assert not front.wait_idle(0.0)
        front.drain()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", front.port)).close()
        with _answering(queue, lambda call: call.answer(call.message)):
            assert answer.result() == b"under way"
            assert front.wait_idle(20.0)


def test_waiting_without_a_limit_ends_with_the_last_call() -> None:
    with _front() as (front, queue), _caller(front, "/test.Queued/Echo") as echo:
        answer = echo.future(b"", timeout=20.0)
        call = queue.take(20.0)
        assert call is not None
        outcomes: list[bool] = []
        waiter = threading.Thread(target=lambda: outcomes.append(front.wait_idle()))
        waiter.start()
        call.answer(b"")
        waiter.join()
        assert outcomes == [True]
        assert answer.result() == b""


def test_closing_ends_open_calls_and_may_be_repeated() -> None:
    with _front() as (front, queue), _caller(front, "/test.Queued/Echo") as echo:
        taken, waiting = (echo.future(b"", timeout=20.0) for _ in range(2))
        call = queue.take(20.0)
        assert call is not None
        _until(lambda: len(queue) == 1)
        front.close()
        front.close()
        for future in (taken, waiting):
            assert future.code() is grpc.StatusCode.UNAVAILABLE
        call.answer(b"too late")
        assert queue.try_take() is None


def test_a_port_that_is_taken_is_named() -> None:
    with _front() as (front, queue):
        options = FrontOptions(port=front.port)
        with pytest.raises(UnavailableError, match=f"127.0.0.1:{front.port}"):
            Front(options, METHODS, queue)


def test_a_shared_port_has_several_fronts() -> None:
    with _front(FrontOptions(shared_port=True)) as (front, _):
        options = FrontOptions(port=front.port, shared_port=True)
        with _front(options) as (other, _):
            assert other.port == front.port > 0


@pytest.mark.parametrize(
    ("options", "methods", "field"),
    [
        (FrontOptions(max_message_bytes=0), METHODS, "max_message_bytes"),
        (FrontOptions(port=65_536), METHODS, "port"),
        (FrontOptions(), (replace(METHODS[0], path="Echo"),), "path"),
        (FrontOptions(), (replace(METHODS[0], entry_limits=ONE * 5),), "entry_limits"),
        (FrontOptions(), (replace(METHODS[2], entry_limits=ONE),), "entry_limits"),
        (FrontOptions(), (replace(METHODS[0], entry_limits=NO_FIELD),), "limits.field"),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(
    options: FrontOptions, methods: tuple[Method, ...], field: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=field):
        Front(options, methods, AdmissionQueue(1))
