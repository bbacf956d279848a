"""Retrieval servers for the tests of this room: exact, and as bad as they are told."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field

import grpc
import numpy as np
import pytest

from stepwell.base.clock import SystemClock
from stepwell.base.metrics import Metrics
from stepwell.base.retry_budget import RetryBudget
from stepwell.embeddings.label_shards import LabelShards
from stepwell.embeddings.shard_map import Shard
from stepwell.retrieval.shard_pool import PoolOptions, ShardPool
from stepwell.retrieval.sharded_index import ShardedIndex
from stepwell_pb.v1 import retrieval_pb2, retrieval_pb2_grpc

N, D = 600, 8
HASH = bytes(range(32))
OTHER_HASH = bytes(32)
VECTORS = np.random.default_rng(3).normal(size=(N, D)).astype(np.float32)
LABELS = np.arange(N)
PATIENT_US = 20_000_000

Change = Callable[[retrieval_pb2.SearchResponse], None]


@dataclass
class ScriptedShard(retrieval_pb2_grpc.RetrievalServiceServicer):
    """One shard of N items under inner product, compared one by one.

    Attributes:
        script: codes to fail the next searches with, in order.
        change: spoils an answer on its way out.
        gate: searches wait for it.
        written: labels upserted and deleted here, in order.
    """

    number: int = 0
    num_shards: int = 1
    space_hash: bytes = HASH
    script: list[grpc.StatusCode] = field(default_factory=list)
    change: Change = lambda response: None
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    num_searches: int = 0
    written: list[int] = field(default_factory=list)
    address: str = ""

    def __post_init__(self) -> None:
        self.gate.set()
        self.labels = LABELS[
            LabelShards(self.num_shards).of_labels(LABELS) == self.number
        ]

    def Search(
        self, request: retrieval_pb2.SearchRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.SearchResponse:
        self.num_searches += 1
        self.entered.release()
        self.gate.wait(30)
        if self.script:
            context.abort(self.script.pop(0), "as told")
        response = retrieval_pb2.SearchResponse(
            results=[self._best(request, query) for query in request.queries],
            embedding_space_hash=self.space_hash,
            num_visited=1,
            num_distances=len(self.labels),
            strategy="exact",
            num_exact=len(request.queries),
            num_items=len(self.labels),
            shard=self.number,
            num_shards=self.num_shards,
        )
        self.change(response)
        return response

    def Upsert(
        self, request: retrieval_pb2.UpsertRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.UpsertResponse:
        if self.script:
            context.abort(self.script.pop(0), "as told")
        self.written += request.labels
        return retrieval_pb2.UpsertResponse(num_upserted=len(request.labels))

    def Delete(
        self, request: retrieval_pb2.DeleteRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.DeleteResponse:
        self.written += [-label for label in request.labels]
        known = len({*request.labels} & {*self.labels.tolist()})
        return retrieval_pb2.DeleteResponse(
            num_deleted=known, num_unknown=len(request.labels) - known
        )

    def Stats(
        self, request: retrieval_pb2.StatsRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.StatsResponse:
        return retrieval_pb2.StatsResponse(
            num_items=len(self.labels),
            dim=D,
            metric="inner_product",
            embedding_space_hash=self.space_hash,
            shard=self.number,
            num_shards=self.num_shards,
            partition="hash",
        )

    def _best(
        self, request: retrieval_pb2.SearchRequest, query: retrieval_pb2.Vector
    ) -> retrieval_pb2.Neighbours:
        labels = self.labels[~np.isin(self.labels, request.exclude_labels)]
        if request.HasField("allowed_labels"):
            bits = np.frombuffer(request.allowed_labels, np.uint8)
            allowed = np.unpackbits(bits, bitorder="little").astype(np.bool_)
            labels = labels[labels < len(allowed)]
            labels = labels[allowed[labels]]
        scores = VECTORS[labels] @ np.array(query.values, np.float32)
        best = np.lexsort((labels, -scores))[: request.k]
        return retrieval_pb2.Neighbours(labels=labels[best], scores=scores[best])


@dataclass
class World:
    """An index over scripted servers, each shard a list of replicas."""

    pool: ShardPool
    metrics: Metrics
    space_hash: bytes = HASH

    def connect(self) -> ShardedIndex:
        return ShardedIndex.connect(self.pool, self.space_hash, self.metrics, 10.0)


Start = Callable[..., World]


def pool_of(shards: list[list[str]], **options: object) -> ShardPool:
    """A patient pool that never hedges unless it is told to."""
    given: dict[str, object] = {
        "hop_us": PATIENT_US,
        "hedge_permille": 1_000,
        "retries": RetryBudget(),
        "draw": lambda: 0.5,
    }
    made = PoolOptions(**(given | options))  # type: ignore[arg-type]
    return ShardPool([Shard(tuple(one)) for one in shards], made, SystemClock())


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers and returns the world they make; all end with the test."""
    servers: list[grpc.Server] = []
    pools: list[ShardPool] = []
    scripted: list[ScriptedShard] = []

    def started(*shards: list[ScriptedShard], **options: object) -> World:
        for shard in (replica for replicas in shards for replica in replicas):
            server = grpc.server(futures.ThreadPoolExecutor(8))
            retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server(shard, server)
            shard.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            server.start()
            servers.append(server)
            scripted.append(shard)
        addresses = [[replica.address for replica in one] for one in shards]
        pools.append(pool_of(addresses, **options))
        return World(pools[-1], Metrics())

    yield started
    for shard in scripted:
        shard.gate.set()
    for pool in pools:
        pool.close()
    for server in servers:
        server.stop(None)
