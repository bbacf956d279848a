"""Side calls between a real front and servicers that do as they are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from stepwell.base.errors import DataLossError
from stepwell.base.metric_names import GRPC_HANDLED
from stepwell.base.metrics import Metrics
from stepwell.front.admission_queue import AdmissionQueue
from stepwell.front.front import Front, FrontOptions
from stepwell.serving import side_calls
from stepwell.serving.side_calls import SideCalls, SideMethods
from stepwell_pb.v1 import feedback_pb2, feedback_pb2_grpc

Asked = reflection_pb2.ServerReflectionRequest
Told = reflection_pb2.ServerReflectionResponse


@dataclass
class _Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Check waits for `may_answer` and fails as told."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    async def Check(self, request: Any, context: Any) -> Any:
        self.entered.set()
        try:
            await self.may_answer.wait()
        finally:
            self.left.set()
        if self.error is not None:
            raise self.error
        return health_pb2.HealthCheckResponse(status="SERVING")


@dataclass
class _Echo(reflection_pb2_grpc.ServerReflectionServicer):  # type: ignore[misc]
    """Answers each message by one with the same host."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def ServerReflectionInfo(self, requests: Any, context: Any) -> Any:
        async for request in requests:
            self.entered.set()
            await self.may_answer.wait()
            yield Told(valid_host=request.host)


@dataclass
class _Feedback(feedback_pb2_grpc.FeedbackServiceServicer):
    """Says how many events came."""

    async def LogEvents(self, request: Any, context: Any) -> Any:
        return feedback_pb2.LogEventsResponse(num_stored=len(request.events))


@dataclass
class _Bench:
    health: _Health
    echo: _Echo
    side: SideCalls
    metrics: Metrics
    channel: grpc.aio.Channel

    def check(self) -> Any:
        stub = health_pb2_grpc.HealthStub(self.channel)
        return stub.Check(health_pb2.HealthCheckRequest(service="abc"))  # 5 bytes

    def stream(self) -> Any:
        stub = reflection_pb2_grpc.ServerReflectionStub(self.channel)
        return stub.ServerReflectionInfo()

    def handled(self, code: str) -> float:
        return self.metrics.value(GRPC_HANDLED, "Health", "Check", code)


@asynccontextmanager
async def _running() -> AsyncIterator[_Bench]:
    health, echo, metrics = _Health(), _Echo(), Metrics()
    methods = SideMethods(metrics)
    health_pb2_grpc.add_HealthServicer_to_server(health, methods)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(echo, methods)
    feedback_pb2_grpc.add_FeedbackServiceServicer_to_server(_Feedback(), methods)
    front = Front(FrontOptions(), methods.options(), AdmissionQueue(1))
    side = SideCalls(front, methods, first=0)
    side.start()
    front.listen()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{front.port}") as channel:
        yield _Bench(health, echo, side, metrics, channel)
    await side.close()
    front.close()


@pytest.fixture
async def bench() -> AsyncIterator[_Bench]:
    async with _running() as running:
        yield running


async def _error(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_unary_call_is_answered_and_counted(bench: _Bench) -> None:
    bench.health.may_answer.set()
    answer = await bench.check()
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert bench.handled("OK") == 1


async def test_an_error_becomes_its_status_with_the_callers_id(bench: _Bench) -> None:
    bench.health.may_answer.set()
    bench.health.error = DataLossError("a block is damaged")
    stub = health_pb2_grpc.HealthStub(bench.channel)
    request, metadata = health_pb2.HealthCheckRequest(), (("x-request-id", "mine"),)
    error = await _error(stub.Check(request, metadata=metadata))
    assert error.code() is grpc.StatusCode.DATA_LOSS
    assert error.details() == "a block is damaged"
    trailing: Any = error.trailing_metadata()
    assert dict(trailing)["x-request-id"] == "mine"


async def test_bytes_that_are_no_message_are_the_callers_mistake(
    bench: _Bench,
) -> None:
    check = bench.channel.unary_unary("/grpc.health.v1.Health/Check", bytes, bytes)
    error = await _error(check(b"\xff\xff"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no grpc.health.v1.HealthCheckRequest" in str(error.details())


async def test_a_list_that_is_too_long_is_refused_by_its_count(bench: _Bench) -> None:
    log = feedback_pb2_grpc.FeedbackServiceStub(bench.channel).LogEvents
    most = [feedback_pb2.Event()] * 1_000
    assert (await log(feedback_pb2.LogEventsRequest(events=most))).num_stored == 1_000
    error = await _error(log(feedback_pb2.LogEventsRequest(events=[*most, most[0]])))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "events has 1001 entries, must be in [1, 1000] events"
    labels = ("FeedbackService", "LogEvents", "INVALID_ARGUMENT")
    assert bench.metrics.value(GRPC_HANDLED, *labels) == 1


async def test_a_caller_who_leaves_ends_the_work(bench: _Bench) -> None:
    call = bench.check()
    waiting = asyncio.ensure_future(call)
    await bench.health.entered.wait()
    call.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(bench.health.left.wait(), 10)
    while not bench.handled("CANCELLED"):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)


async def test_a_stream_is_answered_message_by_message(bench: _Bench) -> None:
    bench.echo.may_answer.set()
    stream = bench.stream()
    for host in ("a", "b"):
        await stream.write(Asked(host=host))
        assert (await stream.read()).valid_host == host
    await stream.done_writing()
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_stream_without_a_message_ends_well(bench: _Bench) -> None:
    stream = bench.stream()
    await stream.done_writing()
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_caller_who_does_not_wait_for_answers_is_stopped(
    bench: _Bench,
) -> None:
    stream = bench.stream()
    for _ in range(side_calls.MAX_WAITING_MESSAGES + 2):  # one is with the servicer
        await stream.write(Asked(host="x"))
    assert await stream.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "messages wait" in str(await stream.details())


@pytest.mark.parametrize(("name", "bound"), [("MAX_OPEN", 1), ("MAX_OPEN_BYTES", 9)])
async def test_one_call_too_many_is_refused(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch, name: str, bound: int
) -> None:
    monkeypatch.setattr(side_calls, name, bound)
    first = asyncio.ensure_future(bench.check())
    await bench.health.entered.wait()
    error = await _error(bench.check())
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    bench.health.may_answer.set()
    assert (await first).status == health_pb2.HealthCheckResponse.SERVING
    assert (await bench.check()).status == health_pb2.HealthCheckResponse.SERVING


async def test_a_drain_ends_streams_and_spares_calls(bench: _Bench) -> None:
    bench.echo.may_answer.set()
    stream = bench.stream()
    await stream.write(Asked(host="a"))
    assert await stream.read()
    waiting = asyncio.ensure_future(bench.check())
    await bench.health.entered.wait()
    bench.side.drain()
    assert await stream.code() is grpc.StatusCode.UNAVAILABLE
    bench.health.may_answer.set()
    assert (await waiting).status == health_pb2.HealthCheckResponse.SERVING


async def test_what_a_stream_has_sent_before_the_drain_is_answered(
    bench: _Bench,
) -> None:
    stream = bench.stream()
    await stream.write(Asked(host="a"))
    await bench.echo.entered.wait()
    bench.side.drain()
    bench.echo.may_answer.set()
    assert (await stream.read()).valid_host == "a"
    assert await stream.code() is grpc.StatusCode.UNAVAILABLE
    assert await stream.details() == "the server drains"


async def test_messages_that_wait_hold_memory_and_those_taken_up_do_not(
    bench: _Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(host="abc")
    monkeypatch.setattr(side_calls, "MAX_OPEN_BYTES", 2 * asked.ByteSize())
    bench.echo.may_answer.set()
    stream = bench.stream()
    for _ in range(10):
        await stream.write(asked)
        assert await stream.read()
    bench.echo.may_answer.clear()
    for _ in range(4):  # one is with the servicer, two wait
        await stream.write(asked)
    assert await stream.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    bench.echo.may_answer.set()
    again = bench.stream()
    await again.write(asked)
    assert await again.read()


async def test_what_is_under_way_at_the_close_is_told(bench: _Bench) -> None:
    waiting = asyncio.ensure_future(bench.check())
    await bench.health.entered.wait()
    await bench.side.close()
    error = await _error(waiting)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
