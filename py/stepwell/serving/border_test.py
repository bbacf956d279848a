"""The border, before a servicer that does as it is told, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from stepwell.base.errors import InvalidArgumentError, ResourceExhaustedError
from stepwell.base.metric_names import GRPC_HANDLED, GRPC_HANDLING, VALIDATION_FAILURES
from stepwell.base.metrics import Metrics
from stepwell.serving.border import Border
from stepwell.serving.method_border import REQUEST_ID_KEY
from stepwell_pb.v1 import recommend_pb2, recommend_pb2_grpc

_Answer = recommend_pb2.RecommendResponse | bytes


@dataclass
class _Servicer(recommend_pb2_grpc.RecommendServiceServicer):
    """Answers with a message that names the user, unless it is told otherwise."""

    make: Callable[[recommend_pb2.RecommendRequest], Awaitable[_Answer]] | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def Recommend(
        self, request: recommend_pb2.RecommendRequest, context: Any
    ) -> Any:
        self.entered.set()
        if self.make is not None:
            return await self.make(request)
        return recommend_pb2.RecommendResponse(request_id=request.user_id)


@dataclass
class _Bench:
    servicer: _Servicer
    metrics: Metrics
    channel: grpc.aio.Channel

    def call(self, metadata: tuple[tuple[str, str], ...] = ()) -> Any:
        stub = recommend_pb2_grpc.RecommendServiceStub(self.channel)
        request = recommend_pb2.RecommendRequest(user_id="u", num_items=1)
        return stub.Recommend(request, metadata=metadata)

    def handled(self, code: str) -> float:
        return self.metrics.value(GRPC_HANDLED, "RecommendService", "Recommend", code)

    def raises(self, error: Exception) -> None:
        async def make(_: recommend_pb2.RecommendRequest) -> _Answer:
            raise error

        self.servicer.make = make


@pytest.fixture
async def bench() -> AsyncIterator[_Bench]:
    metrics, servicer = Metrics(), _Servicer()
    border = Border(metrics)
    recommend_pb2_grpc.add_RecommendServiceServicer_to_server(servicer, border)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((border,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield _Bench(servicer, metrics, channel)
    await server.stop(None)


async def _error(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def _trailing(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    # grpc.aio gives pairs; the stubs describe the classic API's named tuples.
    pairs: Any = error.trailing_metadata() or ()
    return dict(pairs)


async def test_a_message_and_its_bytes_are_the_same_answer(bench: _Bench) -> None:
    async def serialized(request: recommend_pb2.RecommendRequest) -> _Answer:
        response = recommend_pb2.RecommendResponse(request_id=request.user_id)
        return response.SerializeToString()

    as_message = await bench.call()
    bench.servicer.make = serialized
    assert await bench.call() == as_message
    assert as_message.request_id == "u"
    assert bench.handled("OK") == 2
    seconds = bench.metrics.value(GRPC_HANDLING, "RecommendService", "Recommend")
    assert seconds == 2


async def test_a_refusal_carries_when_to_come_back(bench: _Bench) -> None:
    bench.raises(ResourceExhaustedError("overloaded", 12))
    error = await _error(bench.call())
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailing = _trailing(error)
    assert trailing["grpc-retry-pushback-ms"] == "12"
    retry = error_details_pb2.RetryInfo()
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 12
    assert bench.handled("RESOURCE_EXHAUSTED") == 1


@pytest.mark.parametrize(
    ("given", "expected"), [("abc", "abc"), ("x" * 300, "x" * 256)]
)
async def test_a_failed_call_names_itself_as_its_caller_did(
    bench: _Bench, given: str, expected: str
) -> None:
    bench.raises(
        InvalidArgumentError("exclude_item_ids[3] is ''", "exclude_item_ids[3]")
    )
    error = await _error(bench.call(((REQUEST_ID_KEY, given),)))
    assert _trailing(error)[REQUEST_ID_KEY] == expected
    # Without its place: there are as many labels as fields.
    assert bench.metrics.value(VALIDATION_FAILURES, "exclude_item_ids") == 1


async def test_a_bug_is_internal_and_keeps_its_text_to_itself(bench: _Bench) -> None:
    bench.raises(RuntimeError("secret"))
    error = await _error(bench.call())
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(error.details())
    assert len(_trailing(error)[REQUEST_ID_KEY]) == 32
    assert bench.handled("INTERNAL") == 1


async def test_a_caller_who_leaves_is_counted_as_such(bench: _Bench) -> None:
    ended = asyncio.Event()

    async def for_ever(_: recommend_pb2.RecommendRequest) -> _Answer:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    bench.servicer.make = for_ever
    call = bench.call()
    waiting = asyncio.ensure_future(call)
    await bench.servicer.entered.wait()
    call.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await ended.wait()
    while not bench.handled("CANCELLED"):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)


async def test_a_method_of_no_service_is_unimplemented(bench: _Bench) -> None:
    unknown = bench.channel.unary_unary(
        "/stepwell_pb.v1.RecommendService/Guess", bytes, bytes
    )
    error = await _error(unknown(b""))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
