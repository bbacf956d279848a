"""The listeners: bounds of what is read, reflection, ports, and feedback's edges."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.releases.signing import SigningKey
from stepwell.serving.grpc_listener import bound
from stepwell.serving.ranker import Ranker
from stepwell.serving.ranker_options import RankerOptions
from stepwell.serving.server import Listen
from stepwell.serving.tiny_ranker_fixture import (
    OPTIONS,
    Faults,
    RunningRanker,
    SkippingClock,
    ranker,
    ranker_parts,
    running_ranker,
)
from stepwell_pb.v1 import common_pb2, feedback_pb2, recommend_pb2

__all__ = ["ranker"]  # the fixture that the tests ask for by name


def _shared(port: int) -> RankerOptions:
    return replace(OPTIONS, listen=Listen(port=port, shared=True))


def _request() -> recommend_pb2.RecommendRequest:
    return recommend_pb2.RecommendRequest(user_id="u", num_items=5)


async def test_a_message_above_256_kib_is_not_read(ranker: RunningRanker) -> None:
    request = _request()
    request.exclude_item_ids.extend(["x" * 256] * 1_100)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ranker.recommend.Recommend(request)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_metadata_above_8_kib_is_refused(ranker: RunningRanker) -> None:
    metadata = (("x-large", "y" * 20_000),)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ranker.recommend.Recommend(_request(), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_reflection_lists_what_callers_may_use(ranker: RunningRanker) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(ranker.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([asked]))
    answer = await call.read()
    names = {service.name for service in answer.list_services_response.service}
    assert names == {
        "stepwell_pb.v1.RecommendService",
        "stepwell_pb.v1.FeedbackService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    call.cancel()


async def test_a_second_server_on_the_same_port_fails(
    ranker: RunningRanker, tmp_path: Path
) -> None:
    faults = Faults(SkippingClock())
    parts = ranker_parts(tmp_path / "other", SigningKey.generate(), faults)
    taken = RankerOptions(listen=Listen(port=ranker.ready.port))
    with pytest.raises(
        UnavailableError, match=f"cannot listen on .*{taken.listen.port}"
    ):
        Ranker(parts, taken)
    parts.event_log.close()
    parts.store.close()


async def test_on_a_shared_port_nobody_is_served_before_it_is_ready(
    tmp_path: Path,
) -> None:
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        listen = Listen(port=port, shared=True)
        parts = ranker_parts(tmp_path, SigningKey.generate(), Faults(SkippingClock()))
        waiting = Ranker(parts, RankerOptions(listen=listen))
        stop = asyncio.Event()
        running = asyncio.create_task(waiting.run(stop, lambda _: None))
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        stop.set()
        await running


async def test_several_serve_on_a_shared_port(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        options = _shared(reserved.getsockname()[1])
        async with (
            running_ranker(tmp_path / "b", options) as one,
            running_ranker(tmp_path / "c", options) as two,
        ):
            assert one.ready.port == two.ready.port == options.listen.port
            assert (await one.recommend.Recommend(_request())).items


@pytest.mark.parametrize("port", [-1, 65_536, 99_999])
async def test_a_port_of_callers_that_is_none_is_refused(
    tmp_path: Path, port: int
) -> None:
    parts = ranker_parts(tmp_path, SigningKey.generate(), Faults(SkippingClock()))
    with pytest.raises(InvalidArgumentError, match=rf"port is {port}, must be in"):
        Ranker(parts, RankerOptions(listen=Listen(port=port)))
    parts.event_log.close()
    parts.store.close()


@pytest.mark.parametrize("port", [-1, 65_536, 99_999])
async def test_a_port_of_the_operator_that_is_none_is_refused(port: int) -> None:
    # gRPC itself listens on 99,999 modulo 65,536.
    with pytest.raises(InvalidArgumentError, match=rf"port is {port}, must be in"):
        bound(grpc.aio.server(), "127.0.0.1", port)


async def test_a_watcher_of_health_hears_of_the_drain(ranker: RunningRanker) -> None:
    stub = health_pb2_grpc.HealthStub(ranker.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    ranker.stop.set()
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert await watch.code() is grpc.StatusCode.UNAVAILABLE
    await ranker.done


async def test_a_call_under_way_is_answered_before_the_server_ends(
    ranker: RunningRanker,
) -> None:
    ranker.faults.gate.clear()
    ranker.faults.entered.clear()
    call = ranker.recommend.Recommend(_request())
    await asyncio.to_thread(ranker.faults.entered.wait)
    watch = health_pb2_grpc.HealthStub(ranker.channel).Watch(
        health_pb2.HealthCheckRequest()
    )
    await watch.read()
    ranker.stop.set()
    await watch.read()  # it drains, and knows that a call is under way
    ranker.faults.gate.set()
    assert len((await call).items) == 5
    await ranker.done


async def test_no_event_takes_the_place_of_an_impression(ranker: RunningRanker) -> None:
    event = feedback_pb2.Event(
        event_id="impression:r1",
        user_id="u",
        item_id="item-1",
        event_type=common_pb2.EVENT_TYPE_CLICK,
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ranker.feedback.LogEvents(feedback_pb2.LogEventsRequest(events=[event]))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == (
        "events[0].event_id begins with 'impression:', the server's own ids do"
    )
    assert ranker.event_log.end_offset() == 0


async def test_an_event_that_does_not_say_what_happened_is_refused(
    ranker: RunningRanker,
) -> None:
    event = feedback_pb2.Event(event_id="e", user_id="u", item_id="item-1")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ranker.feedback.LogEvents(feedback_pb2.LogEventsRequest(events=[event]))
    assert caught.value.details() == (
        "events[0].event_type is EVENT_TYPE_UNSPECIFIED, must say what happened"
    )


async def test_an_event_without_a_time_happened_now(ranker: RunningRanker) -> None:
    event = feedback_pb2.Event(
        event_id="e",
        user_id="u",
        item_id="item-1",
        event_type=common_pb2.EVENT_TYPE_PURCHASE,
    )
    await ranker.feedback.LogEvents(feedback_pb2.LogEventsRequest(events=[event]))
    (stored,) = ranker.event_log.read(0, 10)
    logged = feedback_pb2.LoggedEvent.FromString(stored.payload)
    now = ranker.faults.clock.event_seconds()
    assert now - 60 <= logged.feedback.event_time_seconds <= now
