"""The border of streams, before a servicer that echoes, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from stepwell.base.errors import DataLossError
from stepwell.base.metric_names import GRPC_HANDLED
from stepwell.base.metrics import Metrics
from stepwell.serving.border import Border
from stepwell_pb.v1 import feedback_pb2, feedback_pb2_grpc

MAX_BYTES = 100


@dataclass
class _Echo(feedback_pb2_grpc.FeedbackServiceServicer):
    """Says how many events a batch has; behind the last it waits for `may_end`.

    Attributes:
        error: in place of the answer to an empty batch.
        left: set when a call is over, however it ended.
    """

    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    async def LogEventsStream(self, requests: Any, context: Any) -> Any:
        try:
            async for request in requests:
                if self.error is not None and not request.events:
                    raise self.error
                yield feedback_pb2.LogEventsResponse(num_stored=len(request.events))
        finally:
            await self.may_end.wait()
            self.left.set()


@dataclass
class _Bench:
    echo: _Echo
    border: Border
    metrics: Metrics
    channel: grpc.aio.Channel

    def stream(self) -> Any:
        stub: Any = feedback_pb2_grpc.FeedbackServiceStub(self.channel)
        return stub.LogEventsStream()

    def handled(self, code: str) -> float:
        labels = ("FeedbackService", "LogEventsStream", code)
        return self.metrics.value(GRPC_HANDLED, *labels)


@pytest.fixture
async def bench() -> AsyncIterator[_Bench]:
    metrics, echo = Metrics(), _Echo()
    echo.may_end.set()
    border = Border(metrics, MAX_BYTES)
    feedback_pb2_grpc.add_FeedbackServiceServicer_to_server(echo, border)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((border,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield _Bench(echo, border, metrics, channel)
    await server.stop(None)


def _batch(num_events: int, event_id: str = "") -> feedback_pb2.LogEventsRequest:
    events = [feedback_pb2.Event(event_id=event_id)] * num_events
    return feedback_pb2.LogEventsRequest(events=events)


async def test_a_stream_is_answered_message_by_message(bench: _Bench) -> None:
    stream = bench.stream()
    for number in (3, 1):
        await stream.write(_batch(number))
        assert (await stream.read()).num_stored == number
    await stream.done_writing()
    assert await stream.code() is grpc.StatusCode.OK
    assert bench.handled("OK") == 1


async def test_an_error_ends_the_stream_with_its_status_and_is_counted(
    bench: _Bench,
) -> None:
    bench.echo.error = DataLossError("a block is damaged")
    stream = bench.stream()
    await stream.write(_batch(2))
    assert (await stream.read()).num_stored == 2
    await stream.write(_batch(0))
    assert await stream.code() is grpc.StatusCode.DATA_LOSS
    assert await stream.details() == "a block is damaged"
    assert bench.handled("DATA_LOSS") == 1


async def test_a_message_over_the_limit_is_refused_and_counted(bench: _Bench) -> None:
    largest = _batch(1, "x" * (MAX_BYTES - 4))
    assert largest.ByteSize() == MAX_BYTES
    stream = bench.stream()
    await stream.write(largest)
    assert (await stream.read()).num_stored == 1
    await stream.write(_batch(1, "x" * (MAX_BYTES - 3)))
    assert await stream.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await stream.details() == "request is 101 bytes, must be at most 100"
    # To send it again is of no use: nothing says when to.
    trailing: Any = await stream.trailing_metadata()
    assert "grpc-retry-pushback-ms" not in dict(trailing)
    assert bench.handled("RESOURCE_EXHAUSTED") == 1


async def test_bytes_that_are_no_message_end_the_stream(bench: _Bench) -> None:
    path = "/stepwell_pb.v1.FeedbackService/LogEventsStream"
    method: Any = bench.channel.stream_stream(path, bytes, bytes)
    stream = method()
    await stream.write(b"\xff\xff")
    assert await stream.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no stepwell_pb.v1.LogEventsRequest" in await stream.details()
    assert bench.handled("INVALID_ARGUMENT") == 1


async def test_from_the_drain_on_a_servicer_gets_no_message_and_may_still_answer(
    bench: _Bench,
) -> None:
    bench.echo.may_end.clear()
    stream = bench.stream()
    await stream.write(_batch(2))
    assert (await stream.read()).num_stored == 2
    bench.border.drain()
    bench.echo.may_end.set()
    assert await stream.code() is grpc.StatusCode.UNAVAILABLE
    assert await stream.details() == "the server drains"
    assert bench.handled("UNAVAILABLE") == 1
    late = bench.stream()
    assert await late.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_caller_who_leaves_ends_the_servicers_work(bench: _Bench) -> None:
    stream = bench.stream()
    await stream.write(_batch(2))
    assert (await stream.read()).num_stored == 2
    stream.cancel()
    await asyncio.wait_for(bench.echo.left.wait(), 10)
    while not bench.handled("CANCELLED"):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)
