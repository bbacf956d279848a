"""RetrievalService over real sockets."""

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from stepwell.base.errors import DeadlineExceededError, ResourceExhaustedError
from stepwell.base.metric_names import (
    INDEX_ITEMS,
    INDEX_MEMORY,
    INDEX_SEARCHES_TRUNCATED,
    RECALL_AT_K,
    RECALL_PROBES,
)
from stepwell.base.metrics import Metrics
from stepwell.embeddings.label_shards import LabelShards
from stepwell.embeddings.shard_map import Partition
from stepwell.index.ann_index import FlatIndex, HnswIndex, HnswOptions
from stepwell.index.search_result import SearchResult
from stepwell.retrieval.recall_probe import RecallProbe, RecallProbeOptions
from stepwell.serving.retrieval_server import RetrievalServer
from stepwell.serving.retrieval_servicer import (
    OwnShard,
    RetrievalOptions,
    RetrievalServicer,
)
from stepwell_pb.v1 import retrieval_pb2, retrieval_pb2_grpc

N, D = 300, 8
HASH = bytes(range(32))
VECTORS = np.random.default_rng(5).normal(size=(N, D)).astype(np.float32)
Stub = retrieval_pb2_grpc.RetrievalServiceStub
SERVICE = "stepwell_pb.v1.RetrievalService"


def _index() -> HnswIndex:
    return HnswIndex.build(VECTORS, np.arange(N), HnswOptions(space_hash=HASH))


@pytest_asyncio.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    server = RetrievalServer(_index(), Metrics())
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel
    await server.drain(0.1)


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Stub:
    return Stub(channel)


def _vector(values: np.ndarray) -> retrieval_pb2.Vector:
    return retrieval_pb2.Vector(values=values.tolist())


def _search(
    k: int = 5, ef_search: int = 0, exclude_labels: Sequence[int] = ()
) -> retrieval_pb2.SearchRequest:
    return retrieval_pb2.SearchRequest(
        queries=[_vector(VECTORS[0]), _vector(VECTORS[1])],
        k=k,
        ef_search=ef_search,
        exclude_labels=exclude_labels,
    )


async def _refusal(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call  # type: ignore[misc]
    return error.value


async def test_search_answers_as_the_exact_index_does(
    stub: Stub,
) -> None:
    response = await stub.Search(_search(ef_search=N, exclude_labels=[0]))
    truth = FlatIndex.build(VECTORS, np.arange(N)).search(
        VECTORS[:2], 5, exclude_ids=np.array([0])
    )
    for row, neighbours in enumerate(response.results):
        assert list(neighbours.labels) == truth.ids[row].tolist()
        assert neighbours.scores == pytest.approx(truth.scores[row].tolist())
    assert response.embedding_space_hash == HASH


async def test_fewer_items_than_k_give_a_short_list(
    stub: Stub,
) -> None:
    response = await stub.Search(_search(k=500))
    assert [len(r.labels) for r in response.results] == [N, N]


async def test_an_upsert_is_seen_by_the_next_search(
    stub: Stub,
) -> None:
    request = retrieval_pb2.UpsertRequest(labels=[900], vectors=[_vector(-VECTORS[0])])
    assert (await stub.Upsert(request)).num_upserted == 1
    query = retrieval_pb2.SearchRequest(queries=[_vector(-VECTORS[0])], k=1)
    assert list((await stub.Search(query)).results[0].labels) == [900]
    assert (await stub.Stats(retrieval_pb2.StatsRequest())).num_items == N + 1


async def test_a_deleted_item_is_not_returned(
    stub: Stub,
) -> None:
    response = await stub.Delete(retrieval_pb2.DeleteRequest(labels=[0, 7_000]))
    assert (response.num_deleted, response.num_unknown) == (1, 1)
    assert 0 not in (await stub.Search(_search(k=N))).results[0].labels


async def test_stats_describe_the_index(
    stub: Stub,
) -> None:
    stats = await stub.Stats(retrieval_pb2.StatsRequest())
    assert (stats.num_items, stats.num_deleted, stats.dim) == (N, 0, D)
    assert (stats.metric, stats.m, stats.ef_construction) == ("cosine", 16, 200)
    assert stats.embedding_space_hash == HASH


@pytest.mark.parametrize(
    ("method", "request_dict", "message"),
    [
        ("Search", {"k": 0}, "k is 0, must be in [1, 2000]"),
        ("Search", {"k": 2001}, "k is 2001, must be in [1, 2000]"),
        ("Search", {"ef_search": 10_001}, "ef_search is 10001, must be in [0, 10000]"),
        (
            "Search",
            {"queries": []},
            "queries has 0 entries, must be in [1, 64] queries",
        ),
        (
            "Search",
            {"queries": [{"values": [1.0] * (D + 1)}]},
            "queries[0].values has 9 entries, must be in [8, 8]",
        ),
        ("Search", {"queries": [{"values": [0.0] * D}]}, "queries row 0 is zero"),
        (
            "Search",
            {"queries": [{"values": ["NaN"] + [1.0] * (D - 1)}]},
            "queries row 0 is not finite",
        ),
        (
            "Search",
            {"exclude_labels": [1] * 1001},
            "exclude_labels has 1001 entries, must be in [0, 1000] labels",
        ),
        (
            "Search",
            {"allowed_labels": base64.b64encode(bytes(2_097_153)).decode()},
            "allowed_labels has 2097153 bytes, must be in [0, 2097152] bytes",
        ),
        ("Upsert", {}, "labels has 0 entries, must be in [1, 1000] labels"),
        ("Upsert", {"labels": [1]}, "vectors has 0 entries, must have 1"),
        ("Upsert", {"labels": [-1]}, "labels[0] is -1, must be >= 0"),
        ("Upsert", {"labels": [4, 4]}, "labels has 4 more than once"),
        ("Delete", {}, "labels has 0 entries, must be in [1, 1000] labels"),
    ],
)
async def test_a_bad_request_is_refused_by_field_value_and_range(
    stub: Stub, method: str, request_dict: dict[str, object], message: str
) -> None:
    base: dict[str, object] = {}
    if method == "Search":
        base = {"k": 5, "queries": [{"values": [1.0] * D}]}
    request_class = getattr(retrieval_pb2, f"{method}Request")
    request = ParseDict(base | request_dict, request_class())
    error = await _refusal(getattr(stub, method)(request))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert (error.details() or "").startswith(message)


async def test_only_allowed_labels_are_returned(stub: Stub) -> None:
    request = _search(k=N)
    for allowed, expected in ([3, 9, 17], {3, 9, 17}), ([], set()), ([N + 5], set()):
        bits = np.zeros(N + 8, np.bool_)
        bits[allowed] = True
        request.allowed_labels = np.packbits(bits, bitorder="little").tobytes()
        response = await stub.Search(request)
        assert {*response.results[0].labels} == expected
    request.ClearField("allowed_labels")
    assert len((await stub.Search(request)).results[0].labels) == N


async def test_an_exact_search_finds_what_the_exact_index_does(stub: Stub) -> None:
    request = _search(k=5, ef_search=5)
    request.exact = True
    response = await stub.Search(request)
    truth = FlatIndex.build(VECTORS, np.arange(N)).search(VECTORS[:2], 5)
    assert [list(one.labels) for one in response.results] == truth.ids.tolist()
    assert (response.strategy, response.num_exact) == ("exact", 2)
    assert response.num_items == N


class _Call:
    """A call with this much of its deadline left."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def time_remaining(self) -> float:
        return self._seconds


async def _ask(
    servicer: RetrievalServicer, seconds: float = 60.0
) -> retrieval_pb2.SearchResponse:
    return await servicer.Search(_search(), _Call(seconds))  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-6])
async def test_a_deadline_that_is_over_before_the_search_is_said_so(
    seconds: float,
) -> None:
    servicer = RetrievalServicer(FlatIndex.build(VECTORS, np.arange(N)))
    with pytest.raises(DeadlineExceededError):
        await _ask(servicer, seconds)
    servicer.close()


class _Gated:
    """An index whose searches wait, and see what budget they were given."""

    def __init__(self) -> None:
        self._index = FlatIndex.build(VECTORS, np.arange(N))
        self.gate, self.entered = threading.Event(), threading.Semaphore(0)
        self.budgets: list[int] = []
        self.truncated = False
        self.stats = self._index.stats

    def search(self, *args: Any, **kwargs: Any) -> SearchResult:
        self.entered.release()
        self.gate.wait(30)
        self.budgets.append(kwargs["budget_us"])
        found = self._index.search(*args, **kwargs)
        return replace(found, truncated=found.truncated | self.truncated)

    def delete(self, ids: Any) -> tuple[int, int]:
        self.entered.release()
        self.gate.wait(30)
        return self._index.delete(ids)


async def test_a_search_whose_time_is_over_gives_what_it_has_and_says_so() -> None:
    index, metrics = _Gated(), Metrics()
    index.gate.set()
    index.truncated = True
    servicer = RetrievalServicer(index, metrics)  # type: ignore[arg-type]
    response = await _ask(servicer, seconds=10.0)
    assert [one.truncated for one in response.results] == [True, True]
    assert [len(one.labels) for one in response.results] == [5, 5]
    assert 8_000_000 < index.budgets[0] <= 9_000_000  # the rest is for the way home
    assert metrics.value(INDEX_SEARCHES_TRUNCATED) == 2
    servicer.close()


async def test_the_recall_of_live_queries_is_measured_beside_them() -> None:
    index, metrics = _index(), Metrics()
    probe = RecallProbe(index, metrics, RecallProbeOptions(share=1.0))
    servicer = RetrievalServicer(index, metrics, probe=probe)
    await _ask(servicer)
    await asyncio.to_thread(probe.wait)
    assert metrics.value(RECALL_PROBES, "answered") == 2
    assert metrics.value(RECALL_AT_K) > 0.9
    servicer.close()


async def test_a_full_queue_of_searches_is_refused_and_writes_go_on() -> None:
    index = _Gated()
    options = RetrievalOptions(num_searchers=1, max_waiting=1)
    servicer = RetrievalServicer(index, options=options)  # type: ignore[arg-type]
    running = [asyncio.create_task(_ask(servicer)) for _ in range(2)]
    await asyncio.to_thread(index.entered.acquire)
    with pytest.raises(ResourceExhaustedError, match="retrieval-search: 1 calls") as e:
        await _ask(servicer)
    assert e.value.retry_after_ms >= 1
    assert not servicer.changed
    index.gate.set()
    await asyncio.gather(*running)
    servicer.close()


async def test_a_write_whose_caller_has_gone_is_still_a_change() -> None:
    index = _Gated()
    servicer = RetrievalServicer(index)  # type: ignore[arg-type]
    request = retrieval_pb2.DeleteRequest(labels=[7])
    call = asyncio.create_task(servicer.Delete(request, _Call(60.0)))  # type: ignore[arg-type]
    await asyncio.to_thread(index.entered.acquire)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    index.gate.set()
    servicer.close()
    assert servicer.changed and index.stats().num_items == N - 1


async def test_labels_of_another_shard_are_refused_by_label_and_shard() -> None:
    shards = LabelShards(3, Partition.RANGE, N)
    options = RetrievalOptions(shard=OwnShard(1, shards))
    server = RetrievalServer(_index(), Metrics(), options=options)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = Stub(channel)
        vector = _vector(VECTORS[0])
        own = retrieval_pb2.UpsertRequest(labels=[150], vectors=[vector])
        seen = [server.index_changed]
        assert (await stub.Upsert(own)).num_upserted == 1
        seen.append(server.index_changed)
        assert seen == [False, True]
        foreign = retrieval_pb2.UpsertRequest(labels=[150, 7], vectors=[vector] * 2)
        for call in (
            stub.Upsert(foreign),
            stub.Delete(retrieval_pb2.DeleteRequest(labels=[150, 7])),
        ):
            error = await _refusal(call)
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert "labels[1] is 7, which belongs to shard 0" in (error.details() or "")
        stats = await stub.Stats(retrieval_pb2.StatsRequest())
        assert (stats.shard, stats.num_shards) == (1, 3)
        assert (stats.partition, stats.num_labels) == ("range", N)
        response = await stub.Search(_search())
        assert (response.shard, response.num_shards) == (1, 3)
    await server.drain(0.1)


async def test_the_gauges_say_what_the_index_holds() -> None:
    metrics, index = Metrics(), _index()
    server = RetrievalServer(index, metrics)
    index.delete(np.arange(10))
    server.refresh_gauges()
    assert metrics.value(INDEX_ITEMS) == N - 10
    assert metrics.value(INDEX_MEMORY) > N * D
    await server.drain(0.0)


async def test_health_and_reflection_answer(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", SERVICE):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    async for answer in stub.ServerReflectionInfo(iter([request])):
        names = [s.name for s in answer.list_services_response.service]
    assert SERVICE in names
