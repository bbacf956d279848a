"""EmbeddingService behind its real server, in this process."""

from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.base.metric_names import GRPC_HANDLED, SERVING_READY
from stepwell.base.metrics import Metrics
from stepwell.embeddings.embedding_table import EmbeddingTable
from stepwell.embeddings.shard_map import Partition, Shard, ShardMap
from stepwell.serving.embedding_servicer import MAX_ROWS_BYTES, EmbeddingServicer
from stepwell.serving.single_service_server import SingleServiceServer
from stepwell_pb.v1 import embedding_pb2, embedding_pb2_grpc

SERVICE = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]
SHARDS = (Shard(("a:1",)), Shard(("b:1",)))
# By range, so that a key's first bit says which of the two shards owns it.
MAP = ShardMap.even(Partition.RANGE, SHARDS)
FAR = 1 << 63
KEYS = np.array([1, 2, FAR, FAR + 1], np.uint64)
ITEMS = EmbeddingTable(KEYS, np.arange(8, dtype=np.float32).reshape(4, 2))
WIDE = EmbeddingTable(KEYS, np.zeros((4, 4_096), np.float32))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def server_of(metrics: Metrics, address: str = "127.0.0.1:0") -> SingleServiceServer:
    servicer = EmbeddingServicer({"items": ITEMS, "wide": WIDE}, MAP, 0, 5)
    return SingleServiceServer(
        SERVICE,
        lambda server: embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(
            servicer, server
        ),
        metrics,
        address,
    )


@pytest.fixture
async def channel(metrics: Metrics) -> AsyncIterator[grpc.aio.Channel]:
    server = server_of(metrics)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        yield opened
    await server.drain(0)


def lookup(table: str, *keys: int) -> embedding_pb2.LookupRequest:
    return embedding_pb2.LookupRequest(table=table, keys=keys)


async def test_returns_the_rows_of_its_own_slots_only(
    channel: grpc.aio.Channel, metrics: Metrics
) -> None:
    stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    answer = await stub.Lookup(lookup("items", 2, 7, FAR, 1))
    assert list(answer.keys) == [2, 1]
    assert list(answer.missing_keys) == [7, FAR]
    assert np.frombuffer(answer.rows, "<f4").tolist() == [2, 3, 0, 1]
    assert (answer.dim, answer.release_serial) == (2, 5)
    labels = ("EmbeddingService", "Lookup", "OK")
    assert metrics.value(GRPC_HANDLED, *labels) == 1


async def test_describes_what_it_owns(channel: grpc.aio.Channel) -> None:
    stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    described = await stub.DescribeShard(embedding_pb2.DescribeShardRequest())
    assert list(described.slots) == list(range(2_048))
    assert list(described.tables) == ["items", "wide"]


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (lookup("users", 1), grpc.StatusCode.NOT_FOUND, "'items', 'wide'"),
        (lookup("items"), grpc.StatusCode.INVALID_ARGUMENT, "keys"),
        (lookup("", 1), grpc.StatusCode.INVALID_ARGUMENT, "table"),
        (
            lookup("wide", *range(MAX_ROWS_BYTES // 16_384 + 1)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "for rows of 4096",
        ),
    ],
    ids=["unknown table", "no keys", "no table", "answer too large"],
)
async def test_a_bad_lookup_is_the_callers_mistake(
    channel: grpc.aio.Channel,
    request_: embedding_pb2.LookupRequest,
    code: grpc.StatusCode,
    text: str,
) -> None:
    stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError, match=text) as caught:
        await stub.Lookup(request_)
    assert caught.value.code() is code


async def test_says_serving_from_start_to_drain(metrics: Metrics) -> None:
    server = server_of(metrics)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE.full_name):
            request = health_pb2.HealthCheckRequest(service=service)
            answer = await health.Check(request)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert metrics.value(SERVING_READY) == 1
    await server.drain(0)
    assert metrics.value(SERVING_READY) == 0


async def test_a_port_that_is_taken_is_an_error_not_shared(metrics: Metrics) -> None:
    first = server_of(metrics)
    await first.start()
    with pytest.raises(UnavailableError, match=f":{first.port}"):
        server_of(metrics, f"127.0.0.1:{first.port}")
    await first.drain(0)


def test_a_shard_that_the_map_does_not_know_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="shard is 2"):
        EmbeddingServicer({}, MAP, shard=2, release_serial=1)
