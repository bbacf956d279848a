"""Embedding shards as processes: rows, failover, coverage, drain, refusal to start."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server_process import ServerProcess, server_process, start
from stepwell.base.clock import SystemClock
from stepwell.base.deadline import Deadline
from stepwell.base.metrics import Metrics
from stepwell.embeddings.embedding_table import EmbeddingTable
from stepwell.embeddings.shard_client import (
    Lookup,
    RetryOptions,
    ShardClient,
    ShardTable,
)
from stepwell.embeddings.shard_map import Partition, Shard, ShardMap
from stepwell.schema.vocabulary import entity_keys
from stepwell_pb.v1 import embedding_pb2, embedding_pb2_grpc

DIM = 16
NUM_ROWS = 2_000
KEYS = entity_keys(f"item-{n}" for n in range(NUM_ROWS))
ROWS = np.random.default_rng(5).normal(size=(NUM_ROWS, DIM)).astype(np.float32)
TABLE = ShardTable("items", DIM, release_serial=3)


def shard_arguments(folder: Path, shard: int, num_shards: int) -> list[str]:
    """Writes table and map; a shard's own map needs no true addresses."""
    EmbeddingTable.of_unsorted(KEYS, ROWS).save(folder / "items.safetensors")
    nowhere = tuple(Shard((f"nowhere:{n}",)) for n in range(num_shards))
    own_map = ShardMap.even(Partition.HASH, nowhere)
    (folder / "map.json").write_text(own_map.to_json())
    return [
        f"--shard_map={folder / 'map.json'}",
        f"--shard={shard}",
        f"--table=items={folder / 'items.safetensors'}",
        "--release_serial=3",
    ]


class Cluster:
    """Two shards with two replicas each, and a client of all four processes."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.replicas = [
            [
                stack.enter_context(
                    server_process(
                        "embedding_shard_main", shard_arguments(folder, shard, 2)
                    )
                )
                for _ in range(2)
            ]
            for shard in range(2)
        ]
        shards = tuple(
            Shard(tuple(replica.address for replica in replicas))
            for replicas in self.replicas
        )
        retry = RetryOptions(hop_us=5_000_000)
        shard_map = ShardMap.even(Partition.HASH, shards)
        self.client = ShardClient(shard_map, TABLE, Metrics(), retry)
        stack.callback(self.client.close)
        self.client.wait_until_connected(30)

    def lookup(self) -> Lookup:
        return self.client.lookup(KEYS, Deadline.after_us(SystemClock(), 20_000_000))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path, stack)


def test_rows_are_right_through_every_loss_and_the_coverage_says_what_is_left(
    cluster: Cluster,
) -> None:
    whole = cluster.lookup()
    assert whole.coverage == 1.0
    assert np.array_equal(whole.rows, ROWS)

    first, second = cluster.replicas[0]
    first.kill()
    failed_over = cluster.lookup()
    assert failed_over.coverage == 1.0
    assert np.array_equal(failed_over.rows, ROWS)

    second.kill()
    half = cluster.lookup()
    assert half.coverage == pytest.approx(0.5, abs=0.05)
    assert half.found.mean() == pytest.approx(half.coverage)
    assert np.array_equal(half.rows[half.found], ROWS[half.found])
    assert not half.rows[~half.found].any()


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[ServerProcess]:
    arguments = shard_arguments(tmp_path, shard=1, num_shards=4)
    with server_process("embedding_shard_main", arguments) as process:
        yield process


def test_a_shard_answers_for_its_slots_and_names_what_is_not_its_own(
    shard: ServerProcess,
) -> None:
    with grpc.insecure_channel(shard.address) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        described = stub.DescribeShard(embedding_pb2.DescribeShardRequest())
        assert list(described.slots) == list(range(1_024, 2_048))
        assert (described.shard, list(described.tables)) == (1, ["items"])
        request = embedding_pb2.LookupRequest(table="items", keys=KEYS[:400].tolist())
        answer = stub.Lookup(request)
        assert sorted([*answer.keys, *answer.missing_keys]) == sorted(request.keys)
        assert 60 < len(answer.keys) < 140
        assert (answer.dim, answer.release_serial) == (DIM, 3)


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (
            embedding_pb2.LookupRequest(table="users", keys=[1]),
            grpc.StatusCode.NOT_FOUND,
            "'users'",
        ),
        (
            embedding_pb2.LookupRequest(table="items"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "keys",
        ),
        (
            embedding_pb2.LookupRequest(table="items", keys=[1] * 10_001),
            grpc.StatusCode.INVALID_ARGUMENT,
            "keys",
        ),
        (
            embedding_pb2.LookupRequest(keys=[1]),
            grpc.StatusCode.INVALID_ARGUMENT,
            "table",
        ),
    ],
    ids=["unknown table", "no keys", "too many keys", "no table"],
)
def test_a_bad_lookup_is_the_callers_mistake(
    shard: ServerProcess,
    request_: embedding_pb2.LookupRequest,
    code: grpc.StatusCode,
    text: str,
) -> None:
    with grpc.insecure_channel(shard.address) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        with pytest.raises(grpc.RpcError, match=text) as caught:
            stub.Lookup(request_)
        assert caught.value.code() is code


def test_says_serving_and_drains_on_a_signal(shard: ServerProcess) -> None:
    with grpc.insecure_channel(shard.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        status = health.Check(health_pb2.HealthCheckRequest()).status
        assert status == health_pb2.HealthCheckResponse.SERVING
    assert shard.terminate() == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("--shard=9", b"shard is 9"),
        ("--shard_map=/nowhere.json", b"nowhere.json"),
        ("--table=items", b"NAME=FILE"),
    ],
)
def test_refuses_to_start_with_one_line_that_says_why(
    tmp_path: Path, change: str, reason: bytes
) -> None:
    arguments = [*shard_arguments(tmp_path, 0, 4), change]
    process = start("embedding_shard_main", arguments)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert reason in errors
    assert errors.count(b"\n") == 1


def test_a_paused_shard_costs_its_hop_budget_and_comes_back(cluster: Cluster) -> None:
    retry = RetryOptions(hop_us=300_000)
    replica = cluster.replicas[1][0]
    shard_map = ShardMap.even(
        Partition.HASH,
        (Shard((cluster.replicas[0][0].address,)), Shard((replica.address,))),
    )
    client = ShardClient(shard_map, TABLE, Metrics(), retry)
    client.wait_until_connected(30)
    replica.process.send_signal(signal.SIGSTOP)
    try:
        deadline = Deadline.after_us(SystemClock(), 10_000_000)
        assert client.lookup(KEYS, deadline).coverage < 0.6
        assert deadline.remaining_us() > 5_000_000
    finally:
        replica.process.send_signal(signal.SIGCONT)
    again = Deadline.after_us(SystemClock(), 10_000_000)
    patient = ShardClient(shard_map, TABLE, Metrics(), RetryOptions(hop_us=5_000_000))
    assert patient.lookup(KEYS, again).coverage == 1.0
    for opened in (client, patient):
        opened.close()
