"""Retry, failover, hedge and breaker: how often which server is asked, and for what."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import numpy as np
import pytest

from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import SHARD_FAILURES, SHARD_HEDGES, SHARD_RETRIES
from stepwell.base.retry_budget import RetryBudget
from stepwell.degradation.circuit_breaker import BreakerOptions, BreakerState
from stepwell.retrieval.scripted_shards_fixture import (
    OTHER_HASH,
    VECTORS,
    ScriptedShard,
    Start,
    start,
)
from stepwell.retrieval.sharded_index import ShardedIndex

__all__ = ["start"]  # the fixture

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
QUERY = VECTORS[:1]
SLEEPY = BreakerOptions(slow_call_us=600_000_000, min_calls=3, open_us=600_000_000)


def coverages(index: ShardedIndex, times: int) -> list[float]:
    return [index.search(QUERY, 5).coverage for _ in range(times)]


def test_a_lone_server_that_is_unavailable_is_tried_once_more(start: Start) -> None:
    shard = ScriptedShard()
    world = start([shard])
    index = world.connect()
    shard.script = [UNAVAILABLE]
    assert coverages(index, 1) == [1.0]
    assert shard.num_searches == 2
    assert world.metrics.value(SHARD_RETRIES) == 1


def test_two_attempts_are_the_most(start: Start) -> None:
    shard = ScriptedShard()
    index = start([shard]).connect()
    shard.script = [UNAVAILABLE] * 3
    with pytest.raises(UnavailableError):
        index.search(QUERY, 5)
    assert shard.num_searches == 2


def test_there_is_no_second_attempt_when_its_pause_outlasts_the_deadline(
    start: Start,
) -> None:
    shard = ScriptedShard()
    index = start([shard], backoff_us=20_000_000).connect()
    shard.script = [UNAVAILABLE]
    with pytest.raises(UnavailableError):
        index.search(QUERY, 5, budget_us=10_000_000)
    assert shard.num_searches == 1


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED]
)
def test_only_unavailable_is_tried_again(start: Start, code: grpc.StatusCode) -> None:
    shard, other = ScriptedShard(), ScriptedShard()
    index = start([shard, other]).connect()
    shard.script = [code]
    with pytest.raises(UnavailableError, match=code.name.lower()):
        index.search(QUERY, 5)
    assert (shard.num_searches, other.num_searches) == (1, 0)


def test_a_replica_takes_over_and_is_asked_first_from_then_on(start: Start) -> None:
    dead, alive = ScriptedShard(), ScriptedShard()
    world = start([dead, alive])
    index = world.connect()
    dead.script = [UNAVAILABLE] * 100
    assert coverages(index, 5) == [1.0] * 5
    assert (dead.num_searches, alive.num_searches) == (1, 5)


def test_a_replica_takes_over_from_one_whose_answer_is_refused(start: Start) -> None:
    old, new = ScriptedShard(), ScriptedShard()
    world = start([old, new])
    index = world.connect()
    old.space_hash = OTHER_HASH  # restarted with another file
    assert coverages(index, 3) == [1.0] * 3
    assert (old.num_searches, new.num_searches) == (1, 3)
    assert world.metrics.value(SHARD_FAILURES, "refused") == 1


def test_retries_stop_when_their_budget_is_spent(start: Start) -> None:
    shard, other = ScriptedShard(0, 2), ScriptedShard(1, 2)
    never = BreakerOptions(slow_call_us=600_000_000, min_calls=1_000)
    retries = RetryBudget(ratio_permille=0, max_tokens=2)
    index = start([shard], [other], retries=retries, breaker=never).connect()
    shard.script = [UNAVAILABLE] * 100
    coverages(index, 20)
    assert shard.num_searches == 20 + 2


def test_a_server_that_keeps_failing_is_left_alone_for_a_while(start: Start) -> None:
    shard, other = ScriptedShard(0, 2), ScriptedShard(1, 2)
    world = start([shard], [other], breaker=SLEEPY, retries=RetryBudget(0, 1))
    index = world.connect()
    shard.script = [UNAVAILABLE] * 100
    assert max(coverages(index, 10)) < 1
    assert shard.num_searches == 3  # one search tried twice; then the breaker is open
    assert other.num_searches == 10
    assert world.metrics.value(SHARD_FAILURES, "breaker") == 8


@pytest.mark.parametrize(
    ("hop_us", "expected"),
    [(20_000_000, BreakerState.CLOSED), (20_000, BreakerState.OPEN)],
)
def test_a_late_server_is_left_alone_only_when_it_had_the_time(
    start: Start, hop_us: int, expected: BreakerState
) -> None:
    slow, other = ScriptedShard(0, 2), ScriptedShard(1, 2)
    world = start([slow], [other], breaker=SLEEPY, hop_us=hop_us)
    index = world.connect()
    slow.gate.clear()
    for _ in range(6):
        with suppress(UnavailableError):  # the other one may be late as well
            index.search(QUERY, 5, budget_us=20_000)
    state = world.pool.replicas(0)[0].breaker.state(world.pool.clock.monotonic_us())
    assert state is expected


def test_a_server_that_was_left_alone_is_found_again(start: Start) -> None:
    shard, other = ScriptedShard(0, 2), ScriptedShard(1, 2)
    quick = BreakerOptions(slow_call_us=600_000_000, min_calls=3, open_us=1)
    world = start([shard], [other], breaker=quick)
    index = world.connect()
    shard.script = [UNAVAILABLE] * 4
    coverages(index, 4)
    assert coverages(index, 5) == [1.0] * 5
    breaker = world.pool.replicas(0)[0].breaker
    assert breaker.state(world.pool.clock.monotonic_us()) is BreakerState.CLOSED


def test_a_slow_server_is_overtaken_by_its_replica(start: Start) -> None:
    slow, fast = ScriptedShard(), ScriptedShard()
    world = start([slow, fast], hedge_permille=950)
    index = world.connect()
    coverages(index, 20)  # latencies to learn from; none is hedged
    assert fast.num_searches == 0
    slow.gate.clear()
    assert coverages(index, 3) == [1.0] * 3
    # The replica may be slower than most too, and be hedged in its turn.
    assert world.metrics.value(SHARD_HEDGES) >= 1
    assert fast.num_searches == 3
    assert world.pool.replicas(0)[0].address == fast.address


def test_without_budget_a_slow_server_is_waited_for(start: Start) -> None:
    slow, fast = ScriptedShard(), ScriptedShard()
    hedges = RetryBudget(ratio_permille=0, max_tokens=1)
    assert hedges.try_spend()
    world = start([slow, fast], hedge_permille=950, hedges=hedges)
    index = world.connect()
    coverages(index, 20)
    slow.gate.clear()
    with pytest.raises(UnavailableError, match="deadline_exceeded"):
        index.search(QUERY, 5, budget_us=300_000)
    assert world.metrics.value(SHARD_HEDGES) == 0
    assert fast.num_searches == 0


def test_searches_of_many_threads_do_not_mix(start: Start) -> None:
    index = start([ScriptedShard(0, 2)], [ScriptedShard(1, 2)]).connect()
    alone = [index.search(VECTORS[n : n + 1], 5).ids[0].tolist() for n in range(40)]
    with ThreadPoolExecutor(8) as threads:
        together = threads.map(
            lambda n: index.search(VECTORS[n : n + 1], 5).ids[0].tolist(), range(40)
        )
        assert list(together) == alone
    assert len(np.unique(alone)) > 5
