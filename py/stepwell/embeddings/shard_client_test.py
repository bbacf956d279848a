"""The client against real gRPC servers that answer as a test tells them."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field

import grpc
import numpy as np
import pytest

from stepwell.base.clock import SystemClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import EMBEDDING_FAILURES, EMBEDDING_RETRIES
from stepwell.base.metrics import Metrics
from stepwell.base.retry_budget import RetryBudget
from stepwell.embeddings.row_cache import RowCache
from stepwell.embeddings.shard_client import RetryOptions, ShardClient, ShardTable
from stepwell.embeddings.shard_map import KeyArray, Partition, Shard, ShardMap
from stepwell_pb.v1 import embedding_pb2, embedding_pb2_grpc

DIM = 3
SERIAL = 7
TABLE = ShardTable("items", DIM, SERIAL)
Answer = Callable[[embedding_pb2.LookupRequest], embedding_pb2.LookupResponse]


def row_of(key: int) -> list[float]:
    return [float(key), float(key) + 0.25, -1.0]


def honest(request: embedding_pb2.LookupRequest) -> embedding_pb2.LookupResponse:
    """Knows every key below 1,000."""
    found = [key for key in request.keys if key < 1_000]
    rows = np.array([row_of(key) for key in found], "<f4")
    return embedding_pb2.LookupResponse(
        keys=found, rows=rows.tobytes(), dim=DIM, release_serial=SERIAL
    )


@dataclass
class ScriptedShard(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Fails with the codes in `script`, in order, and is honest from then on."""

    script: list[grpc.StatusCode] = field(default_factory=list)
    answer: Answer = honest
    num_calls: int = 0
    address: str = ""

    def Lookup(
        self,
        request: embedding_pb2.LookupRequest,
        context: grpc.ServicerContext,
    ) -> embedding_pb2.LookupResponse:
        self.num_calls += 1
        if self.script:
            context.abort(self.script.pop(0), "as told")
        return self.answer(request)


@pytest.fixture
def start() -> Iterator[Callable[[ScriptedShard], ScriptedShard]]:
    servers: list[grpc.Server] = []

    def started(shard: ScriptedShard) -> ScriptedShard:
        server = grpc.server(futures.ThreadPoolExecutor(4))
        embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(shard, server)
        shard.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        servers.append(server)
        return shard

    yield started
    for server in servers:
        server.stop(None)


Start = Callable[[ScriptedShard], ScriptedShard]


@dataclass
class World:
    """A client over shards, each a list of replicas, with its metrics."""

    client: ShardClient
    metrics: Metrics
    slept: list[float]

    def lookup(self, keys: KeyArray, budget_us: int = 5_000_000):  # type: ignore[no-untyped-def]
        return self.client.lookup(keys, Deadline.after_us(SystemClock(), budget_us))


def world(
    *shards: list[ScriptedShard],
    hop_us: int = 5_000_000,
    budget: RetryBudget | None = None,
    cache_rows: int = 0,
) -> World:
    metrics, slept = Metrics(), list[float]()
    retry = RetryOptions(
        hop_us=hop_us,
        budget=budget or RetryBudget(),
        sleep=slept.append,
        draw=lambda: 0.5,
    )
    shard_map = ShardMap.even(
        Partition.HASH, tuple(Shard(tuple(r.address for r in s)) for s in shards)
    )
    cache = RowCache(cache_rows, DIM, metrics) if cache_rows else None
    client = ShardClient(shard_map, TABLE, metrics, retry, cache)
    client.wait_until_connected(10)
    return World(client, metrics, slept)


KEYS = np.array([5, 999, 1_000, 17, 5, 400], np.uint64)


def test_rows_come_from_all_shards_in_the_order_of_the_keys(start: Start) -> None:
    shards = [start(ScriptedShard()) for _ in range(4)]
    made = world(*[[shard] for shard in shards])
    result = made.lookup(KEYS)
    assert result.coverage == 1.0
    assert result.found.tolist() == [True, True, False, True, True, True]
    expected = [row_of(int(k)) if k < 1_000 else [0.0] * DIM for k in KEYS]
    assert result.rows.tolist() == expected
    assert sum(shard.num_calls for shard in shards) <= 4
    made.client.close()


def test_no_keys_are_fully_covered_and_ask_nobody(start: Start) -> None:
    shard = start(ScriptedShard())
    made = world([shard])
    result = made.lookup(np.zeros(0, np.uint64))
    assert (result.rows.shape, result.coverage) == ((0, DIM), 1.0)
    assert shard.num_calls == 0
    made.client.close()


def test_a_read_that_is_unavailable_is_tried_once_more_after_a_pause(
    start: Start,
) -> None:
    shard = start(ScriptedShard([grpc.StatusCode.UNAVAILABLE]))
    made = world([shard])
    assert made.lookup(KEYS).coverage == 1.0
    assert shard.num_calls == 2
    assert made.slept == [0.003]  # 2 ms and half of that by jitter
    assert made.metrics.value(EMBEDDING_RETRIES) == 1
    made.client.close()


def test_two_attempts_are_the_most(start: Start) -> None:
    shard = start(ScriptedShard([grpc.StatusCode.UNAVAILABLE] * 3))
    made = world([shard])
    result = made.lookup(KEYS)
    assert (result.coverage, result.found.any()) == (0.0, np.False_)
    assert shard.num_calls == 2
    assert made.metrics.value(EMBEDDING_FAILURES, "unavailable") == 2
    made.client.close()


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.NOT_FOUND])
def test_only_unavailable_is_tried_again(start: Start, code: grpc.StatusCode) -> None:
    shard = start(ScriptedShard([code]))
    made = world([shard])
    assert made.lookup(KEYS).coverage == 0.0
    assert shard.num_calls == 1
    made.client.close()


def test_retries_stop_when_their_budget_is_spent(start: Start) -> None:
    shard = start(ScriptedShard([grpc.StatusCode.UNAVAILABLE] * 100))
    made = world([shard], budget=RetryBudget(ratio_permille=100, max_tokens=2))
    for _ in range(20):
        made.lookup(KEYS)
    # Two tokens at the start, and a tenth of one for each of 20 first attempts.
    assert shard.num_calls <= 20 + 2 + 2
    made.client.close()


def test_a_dead_replica_fails_over_and_is_not_asked_first_again(start: Start) -> None:
    dead, alive = ScriptedShard(), start(ScriptedShard())
    dead.script = [grpc.StatusCode.UNAVAILABLE] * 100
    start(dead)
    made = world([dead, alive])
    for _ in range(5):
        assert made.lookup(KEYS).coverage == 1.0
    assert (dead.num_calls, alive.num_calls) == (1, 5)
    made.client.close()


def test_one_dead_shard_of_four_costs_its_keys_and_says_so(start: Start) -> None:
    shards = [start(ScriptedShard()) for _ in range(4)]
    shards[2].script = [grpc.StatusCode.UNAVAILABLE] * 10
    made = world(*[[shard] for shard in shards])
    keys = np.arange(400, dtype=np.uint64)
    result = made.lookup(keys)
    assert result.coverage == pytest.approx(0.75, abs=0.05)
    assert result.found.mean() == pytest.approx(result.coverage)
    assert result.rows[result.found].tolist() == [
        row_of(int(key)) for key in keys[result.found]
    ]
    assert not result.rows[~result.found].any()
    made.client.close()


def test_a_late_shard_costs_its_hop_budget_and_is_not_waited_for(start: Start) -> None:
    gate = threading.Event()

    def late(request: embedding_pb2.LookupRequest) -> embedding_pb2.LookupResponse:
        gate.wait(10)
        return honest(request)

    slow, fast = start(ScriptedShard(answer=late)), start(ScriptedShard())
    made = world([slow], [fast], hop_us=100_000)
    result = made.lookup(np.arange(100, dtype=np.uint64))
    assert 0.3 < result.coverage < 0.7
    assert made.metrics.value(EMBEDDING_FAILURES, "deadline_exceeded") == 1
    gate.set()
    made.client.close()


def test_a_deadline_that_has_passed_asks_nobody(start: Start) -> None:
    shard = start(ScriptedShard())
    made = world([shard])
    assert made.lookup(KEYS, budget_us=0).coverage == 0.0
    assert shard.num_calls == 0
    made.client.close()


def corrupted(**fields: object) -> Answer:
    def answer(request: embedding_pb2.LookupRequest) -> embedding_pb2.LookupResponse:
        response = honest(request)
        for name, value in fields.items():
            if name == "keys":
                del response.keys[:]
                response.keys.extend(value)  # type: ignore[arg-type]
            else:
                setattr(response, name, value)
        return response

    return answer


NAN_ROWS = np.full((4, DIM), np.nan, "<f4").tobytes()


@pytest.mark.parametrize(
    "answer",
    [
        corrupted(release_serial=SERIAL + 1),
        corrupted(dim=DIM + 1),
        corrupted(rows=b""),
        corrupted(rows=bytes(4 * DIM * 4 + 1)),
        corrupted(rows=NAN_ROWS),
        corrupted(keys=[999, 5, 17, 400]),
        corrupted(keys=[5, 17, 400, 998]),
        corrupted(keys=[5, 17, 400, 999, 999]),
    ],
    ids=["release", "dim", "no rows", "more rows", "nan", "order", "key", "twice"],
)
def test_a_corrupt_answer_is_never_used(start: Start, answer: Answer) -> None:
    made = world([start(ScriptedShard(answer=answer))])
    result = made.lookup(KEYS)
    assert (result.coverage, result.found.any()) == (0.0, np.False_)
    assert not result.rows.any()
    assert made.metrics.value(EMBEDDING_FAILURES, "corrupt") == 1
    made.client.close()


def test_cached_rows_outlive_their_shard(start: Start) -> None:
    shard = start(ScriptedShard())
    made = world([shard], cache_rows=100)
    first = made.lookup(KEYS)
    shard.script = [grpc.StatusCode.UNAVAILABLE] * 10
    second = made.lookup(KEYS)
    assert np.array_equal(first.rows, second.rows)
    # Only the key without a row was asked for again, and nobody could say.
    assert second.coverage == pytest.approx(5 / 6)
    made.client.close()


def test_many_keys_are_asked_for_in_several_calls(start: Start) -> None:
    shard = start(ScriptedShard())
    made = world([shard])
    result = made.lookup(np.arange(2_500, dtype=np.uint64))
    assert shard.num_calls == 3
    assert result.found.sum() == 1_000
    made.client.close()


def test_a_shard_that_is_not_there_is_named() -> None:
    shard_map = ShardMap.even(Partition.HASH, (Shard(("127.0.0.1:1",)),))
    client = ShardClient(shard_map, TABLE, Metrics())
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
        client.wait_until_connected(0.05)
    client.close()
