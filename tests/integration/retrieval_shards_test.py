"""An index in three processes: one answer, losses that are stated, and comebacks."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server_process import ServerProcess, server_process
from stepwell.base.clock import SystemClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import FailedPreconditionError, UnavailableError
from stepwell.degradation.circuit_breaker import BreakerOptions
from stepwell.embeddings.label_shards import LabelShards
from stepwell.embeddings.shard_map import Partition, Shard
from stepwell.index.ann_index import FlatIndex, FlatOptions, HnswIndex, HnswOptions
from stepwell.retrieval.shard_pool import PoolOptions, ShardPool
from stepwell.retrieval.sharded_index import ShardedIndex
from stepwell_pb.v1 import retrieval_pb2, retrieval_pb2_grpc

N, D, NUM_SHARDS = 3_000, 16, 3
HASH = bytes(range(32))
VECTORS = np.random.default_rng(7).normal(size=(N, D)).astype(np.float32)
LABELS = np.arange(N)
QUERIES = VECTORS[:10]
TRUTH = FlatIndex.build(VECTORS, LABELS, FlatOptions(space_hash=HASH))
K = 20
PATIENT_US = 20_000_000
# A breaker that opens at nothing: these tests count what every search finds.
NEVER = BreakerOptions(slow_call_us=1 << 40, min_calls=1_000_000)
Cut = tuple[LabelShards, Path]


@pytest.fixture(scope="module")
def cut(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Cut:
    """Files shard-0 .. shard-2 of one index, by hash unless a test says otherwise."""
    partition = getattr(request, "param", Partition.HASH)
    shards = LabelShards(NUM_SHARDS, partition, N)
    folder = tmp_path_factory.mktemp(shards.partition.value)
    owners = shards.of_labels(LABELS)
    for number in range(NUM_SHARDS):
        own = LABELS[owners == number]
        options = HnswOptions(space_hash=HASH)
        HnswIndex.build(VECTORS[own], own, options).save(folder / f"shard-{number}")
    return shards, folder


class Cluster:
    """Three processes, and the index that is all of them."""

    def __init__(self, cut: Cut, stack: ExitStack) -> None:
        self.cut, self._stack = cut, stack
        self.servers = [self.start(number) for number in range(NUM_SHARDS)]
        shards = [Shard((server.address,)) for server in self.servers]
        options = PoolOptions(hop_us=PATIENT_US, hedge_permille=1_000, breaker=NEVER)
        self.pool = ShardPool(shards, options, SystemClock())
        stack.callback(self.pool.close)
        self.index = ShardedIndex.connect(self.pool, HASH, timeout_s=30.0)
        self.owners = cut[0].of_labels(LABELS)

    def start(self, number: int, *more: str) -> ServerProcess:
        """A process of one shard, killed at the end."""
        shards, folder = self.cut
        arguments = [
            f"--index={folder / f'shard-{number}'}",
            f"--shard={number}",
            f"--num_shards={NUM_SHARDS}",
            f"--partition={shards.partition.value}",
            f"--num_labels={N}",
            *more,
        ]
        context = server_process("retrieval_main", arguments)
        return self._stack.enter_context(context)

    def searched(self, budget_us: int = 0) -> tuple[float, float]:
        """Coverage of one search, and the share of the true answer that it found."""
        found = self.index.search(QUERIES, K, ef_search=400, budget_us=budget_us)
        truth = TRUTH.search(QUERIES, K).ids
        return found.coverage, float(np.isin(truth, found.ids).mean())

    def share_without(self, number: int) -> float:
        """Share of the items that the other shards hold."""
        return float((self.owners != number).mean())


@pytest.fixture
def cluster(cut: Cut) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(cut, stack)


@pytest.mark.parametrize("cut", [Partition.HASH, Partition.RANGE], indirect=True)
def test_three_processes_answer_as_one_index(cluster: Cluster) -> None:
    coverage, recall = cluster.searched()
    assert coverage == 1.0
    assert recall > 0.99
    stats = cluster.index.stats()
    assert (stats.num_items, stats.dim, stats.space_hash) == (N, D, HASH)


def test_a_killed_shard_costs_its_items_until_it_is_back(cluster: Cluster) -> None:
    lost = cluster.servers[1]
    lost.kill()
    left = cluster.share_without(1)
    assert left == pytest.approx(2 / 3, abs=0.02)
    found = cluster.index.search(QUERIES, K, ef_search=400)
    assert found.coverage == pytest.approx(left)
    held = LABELS[cluster.owners != 1]
    allowed = np.isin(LABELS, held)
    truth = TRUTH.search(QUERIES, K, allowed=allowed).ids
    assert np.isin(truth, found.ids).mean() > 0.99
    assert np.isin(found.ids, held).all()

    cluster.start(1, f"--port={lost.port}")
    deadline = Deadline.after_us(SystemClock(), PATIENT_US)
    while (searched := cluster.searched())[0] < 1 and not deadline.expired():
        pass  # the channel looks again within a second
    assert searched[0] == 1.0
    assert searched[1] > 0.99


def test_a_paused_shard_costs_its_items_and_no_more_than_the_budget(
    cluster: Cluster,
) -> None:
    process = cluster.servers[2].process
    process.send_signal(signal.SIGSTOP)
    try:
        deadline = Deadline.after_us(SystemClock(), PATIENT_US)
        coverage, _ = cluster.searched(budget_us=500_000)
        assert coverage == pytest.approx(cluster.share_without(2))
        assert deadline.remaining_us() > PATIENT_US // 2
    finally:
        process.send_signal(signal.SIGCONT)
    assert cluster.searched()[0] == 1.0


def test_without_any_shard_it_is_an_error_that_says_so(cluster: Cluster) -> None:
    for server in cluster.servers:
        server.kill()
    with pytest.raises(UnavailableError, match="no shard answered: shard 0 unavail"):
        cluster.searched()


def test_a_write_goes_to_the_shard_of_its_label_and_is_found(cluster: Cluster) -> None:
    labels = np.array([N, N + 1, N + 2, N + 3])
    cluster.index.upsert(-VECTORS[:4], labels)
    found = cluster.index.search(-VECTORS[:4], 1)
    assert found.ids[:, 0].tolist() == labels.tolist()
    assert cluster.index.delete(np.append(labels, N + 4)) == (4, 1)
    assert cluster.index.stats().num_items == N


def test_a_process_refuses_labels_of_another_and_serves_while_healthy(
    cluster: Cluster,
) -> None:
    foreign = int(LABELS[cluster.owners == 2][0])
    with grpc.insecure_channel(cluster.servers[0].address) as channel:
        stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
        with pytest.raises(grpc.RpcError, match=f"{foreign}, which belongs to shard 2"):
            stub.Delete(retrieval_pb2.DeleteRequest(labels=[foreign]))
        health = health_pb2_grpc.HealthStub(channel)
        status = health.Check(health_pb2.HealthCheckRequest()).status
        assert status == health_pb2.HealthCheckResponse.SERVING
    assert cluster.servers[0].terminate() == 0


def test_shards_of_another_space_are_refused(cluster: Cluster) -> None:
    with pytest.raises(FailedPreconditionError, match="must be 0000000000000000"):
        ShardedIndex.connect(cluster.pool, bytes(32), timeout_s=30.0)
