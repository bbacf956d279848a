"""The sharded index against real gRPC servers that answer as a test tells them."""

from typing import Any

import grpc
import numpy as np
import pytest

from stepwell.base.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    UnavailableError,
)
from stepwell.base.metric_names import SHARD_COVERAGE, SHARD_FAILURES
from stepwell.embeddings.label_shards import LabelShards
from stepwell.index.item_filter import id_set
from stepwell.index.search_result import SearchResult
from stepwell.retrieval.scripted_shards_fixture import (
    HASH,
    LABELS,
    OTHER_HASH,
    VECTORS,
    D,
    N,
    ScriptedShard,
    Start,
    pool_of,
    start,
)
from stepwell.retrieval.shard_pool import parse_shards
from stepwell.retrieval.sharded_index import ShardedIndex

__all__ = ["start"]  # the fixture

QUERIES = VECTORS[:3] * 2
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
OWNERS = LabelShards(3).of_labels(LABELS)


def three(**fields: Any) -> list[list[ScriptedShard]]:
    return [[ScriptedShard(number, 3, **fields)] for number in range(3)]


def truth(held: np.ndarray, k: int) -> np.ndarray:
    """Labels [B, k] of the exact answer among the labels `held`."""
    scores = QUERIES @ VECTORS[held].T
    return held[np.argsort(-scores, axis=1, kind="stable")[:, :k]]


def test_the_answer_is_that_of_one_index_over_all_items(start: Start) -> None:
    found = start(*three()).connect().search(QUERIES, 20)
    assert found.ids.tolist() == truth(LABELS, 20).tolist()
    expected = np.take_along_axis(QUERIES @ VECTORS.T, found.ids, axis=1)
    assert np.allclose(found.scores, expected, rtol=1e-5)
    assert found.counts.tolist() == [20, 20, 20]
    assert (found.coverage, found.truncated.any()) == (1.0, np.False_)
    assert (found.num_visited, found.num_distances, found.num_exact) == (3, N, 9)


def test_ties_go_to_the_lower_label(start: Start) -> None:
    def flatten(response: Any) -> None:
        for one in response.results:
            one.labels[:] = sorted(one.labels)
            one.scores[:] = [1.0] * len(one.labels)

    found = start(*three(change=flatten)).connect().search(QUERIES[:1], N)
    assert found.ids[0].tolist() == LABELS.tolist()


def test_fewer_items_than_k_give_a_padded_list(start: Start) -> None:
    found = start(*three()).connect().search(QUERIES[:1], N + 50)
    assert found.counts.tolist() == [N]
    assert found.ids[0, N:].tolist() == [-1] * 50
    assert not found.scores[0, N:].any()


def test_exclusions_and_filters_reach_every_shard(start: Start) -> None:
    index = start(*three()).connect()
    best = truth(LABELS, 10)[0]
    allowed = np.zeros(N, np.bool_)
    allowed[best] = True
    for one in (allowed, id_set(best, N)):
        found = index.search(
            QUERIES[:1], 10, exclude_ids=best[:4].astype(np.int64), allowed=one
        )
        assert found.ids[0, :6].tolist() == best[4:].tolist()
        assert found.counts.tolist() == [6]


def test_a_dead_shard_costs_its_items_and_the_coverage_says_how_many(
    start: Start,
) -> None:
    shards = three()
    world = start(*shards)
    index = world.connect()
    shards[1][0].script = [UNAVAILABLE] * 2
    found = index.search(QUERIES, 20)
    assert found.ids.tolist() == truth(LABELS[OWNERS != 1], 20).tolist()
    assert found.coverage == pytest.approx((OWNERS != 1).mean())
    assert world.metrics.value(SHARD_COVERAGE) == pytest.approx(found.coverage)
    again = index.search(QUERIES, 20)
    assert again.coverage == 1.0
    assert again.ids.tolist() == truth(LABELS, 20).tolist()


def test_only_when_no_shard_answers_it_is_an_error_with_the_causes(
    start: Start,
) -> None:
    shards = three()
    index = start(*shards).connect()
    for [shard] in shards:
        shard.script = [grpc.StatusCode.INTERNAL]
    with pytest.raises(UnavailableError, match="shard 0 internal, shard 1 internal"):
        index.search(QUERIES, 5)


def test_a_late_shard_is_not_waited_for_beyond_the_budget(start: Start) -> None:
    shards = three()
    world = start(*shards)
    index = world.connect()
    shards[2][0].gate.clear()
    found = index.search(QUERIES, 5, budget_us=300_000)
    assert found.coverage == pytest.approx((OWNERS != 2).mean())
    assert world.metrics.value(SHARD_FAILURES, "deadline_exceeded") == 1
    shards[2][0].gate.set()
    assert index.search(QUERIES, 5).coverage == 1.0


def test_what_one_shard_truncated_is_truncated(start: Start) -> None:
    shards = three()

    def truncate(response: Any) -> None:
        response.results[1].truncated = True

    shards[0][0].change = truncate
    found = start(*shards).connect().search(QUERIES, 5)
    assert found.truncated.tolist() == [False, True, False]
    assert found.coverage == 1.0


def _set(**fields: Any) -> Any:
    def change(response: Any) -> None:
        for name, value in fields.items():
            setattr(response, name, value)

    return change


def _first(**fields: Any) -> Any:
    def change(response: Any) -> None:
        for name, value in fields.items():
            values = getattr(response.results[0], name)
            values[: len(value)] = value

    return change


def _drop_result(response: Any) -> None:
    del response.results[-1]


def _more_scores(response: Any) -> None:
    response.results[0].scores.append(-1e9)


FOREIGN = int(LABELS[OWNERS == 2][0])
OWN_TWICE = [int(LABELS[OWNERS == 0][7])] * 2


@pytest.mark.parametrize(
    "change",
    [
        _set(embedding_space_hash=OTHER_HASH),
        _set(shard=1),
        _set(num_shards=4),
        _drop_result,
        _more_scores,
        _first(labels=[FOREIGN]),
        _first(labels=[-1]),
        _first(labels=OWN_TWICE),
        _first(scores=[-1e9]),
        _first(scores=[float("nan")]),
        _first(scores=[float("inf")]),
    ],
    ids=[
        "space",
        "shard",
        "cut",
        "results",
        "scores",
        "foreign",
        "negative",
        "twice",
        "order",
        "nan",
        "inf",
    ],
)
def test_an_answer_that_is_none_is_never_used(start: Start, change: Any) -> None:
    shards = three()
    world = start(*shards)
    index = world.connect()
    shards[0][0].change = change
    found = index.search(QUERIES, 20)
    assert found.coverage == pytest.approx((OWNERS != 0).mean())
    assert found.ids.tolist() == truth(LABELS[OWNERS != 0], 20).tolist()
    assert world.metrics.value(SHARD_FAILURES, "refused") == 1


def test_a_longer_list_than_was_asked_for_is_refused(start: Start) -> None:
    def more(response: Any) -> None:
        response.results[0].labels.append(int(LABELS[OWNERS == 0][-1]))
        response.results[0].scores.append(-1e9)

    shards = three()
    shards[0][0].change = more
    assert start(*shards).connect().search(QUERIES, 5).coverage < 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"k": 0}, r"k is 0, must be in \[1, 2000\]"),
        ({"k": 2_001}, "k is 2001"),
        ({"queries": np.ones((65, D), np.float32)}, "queries is 65"),
        ({"queries": np.ones(D, np.float32)}, "queries has shape"),
        ({"exclude_ids": np.arange(1_001)}, "exclude_ids is 1001"),
        ({"allowed": np.ones(16_777_217, np.bool_)}, "allowed is 2097153"),
    ],
)
def test_a_search_that_does_not_fit_on_the_wire_is_refused(
    start: Start, arguments: dict[str, Any], text: str
) -> None:
    index = start([ScriptedShard()]).connect()
    call: dict[str, Any] = {"queries": QUERIES, "k": 5}
    with pytest.raises(InvalidArgumentError, match=text):
        index.search(**(call | arguments))


def test_what_a_shard_calls_a_mistake_is_the_callers(start: Start) -> None:
    shards = three()
    index = start(*shards).connect()
    shards[0][0].script = [grpc.StatusCode.INVALID_ARGUMENT]
    with pytest.raises(InvalidArgumentError, match="as told"):
        index.search(QUERIES, 5)
    assert index.search(QUERIES, 5).coverage == 1.0


def test_writes_go_to_every_replica_of_their_shard(start: Start) -> None:
    shards = [[ScriptedShard(n, 3) for _ in range(2)] for n in range(3)]
    index = start(*shards).connect()
    some = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9_999])
    index.upsert(np.ones((len(some), D), np.float32), some)
    assert index.delete(some) == (8, 1)
    owners = LabelShards(3).of_labels(some)
    for number, replicas in enumerate(shards):
        own = some[owners == number].tolist()
        for replica in replicas:
            assert replica.written == [*own, *(-label for label in own)]


def test_a_write_that_a_replica_missed_names_it(start: Start) -> None:
    good, bad = ScriptedShard(), ScriptedShard()
    index = start([good, bad]).connect()
    bad.script = [UNAVAILABLE]
    with pytest.raises(UnavailableError, match=f"{bad.address}: UNAVAILABLE"):
        index.upsert(np.ones((1, D), np.float32), np.array([7]))
    assert good.written == [7]


def test_a_long_write_is_sent_in_parts(start: Start) -> None:
    shard = ScriptedShard()
    index = start([shard]).connect()
    index.upsert(np.ones((2_500, D), np.float32), np.arange(2_500))
    assert shard.written == list(range(2_500))


@pytest.mark.parametrize(
    ("vectors", "ids", "message"),
    [
        (np.ones((1_001, D)), [*range(1_000), 0], "ids has 0 twice"),
        (np.ones((2, D)), [1, -5], "ids has -5"),
        (np.ones((1, D)), [1.5], "dtype float64"),
        (np.array([[1.0] * D, [np.nan] * D]), [1, 2], "row 1 is not finite"),
    ],
)
def test_a_bad_upsert_reaches_no_shard(
    start: Start, vectors: Any, ids: Any, message: str
) -> None:
    shards = three()
    index = start(*shards).connect()
    with pytest.raises(InvalidArgumentError, match=message):
        index.upsert(vectors, ids)
    assert not any(one.written for (one,) in shards)


def test_a_delete_counts_ids_below_0_as_unknown_and_rounds_none(start: Start) -> None:
    index = start(*three()).connect()
    assert index.delete(np.array([-1, -(2**40)])) == (0, 2)
    with pytest.raises(InvalidArgumentError, match="dtype float64"):
        index.delete(np.array([1.5]))


def test_stats_are_those_of_all_shards(start: Start) -> None:
    stats = start(*three()).connect().stats()
    assert (stats.num_items, stats.dim, stats.metric) == (N, D, "inner_product")
    assert stats.space_hash == HASH


def test_shards_of_another_space_are_refused_by_address_and_both_hashes(
    start: Start,
) -> None:
    shards = three()
    shards[1][0].space_hash = OTHER_HASH
    world = start(*shards)
    with pytest.raises(FailedPreconditionError) as error:
        world.connect()
    for word in (shards[1][0].address, OTHER_HASH.hex()[:16], HASH.hex()[:16]):
        assert word in str(error.value)


def test_replicas_of_a_new_space_stand_beside_those_of_the_old(start: Start) -> None:
    shards = [
        [ScriptedShard(n, 3, OTHER_HASH), ScriptedShard(n, 3, HASH)] for n in range(3)
    ]
    world = start(*shards)
    for space_hash in (HASH, OTHER_HASH, HASH):
        world.space_hash = space_hash
        found: SearchResult = world.connect().search(QUERIES, 5)
        assert found.coverage == 1.0


def test_a_server_in_the_wrong_seat_is_refused(start: Start) -> None:
    world = start([ScriptedShard(1, 2)], [ScriptedShard(1, 2)])
    with pytest.raises(FailedPreconditionError, match="shard 1 of 2, must be 0 of 2"):
        world.connect()


def test_a_shard_that_is_dead_at_the_start_counts_as_a_mean_one(start: Start) -> None:
    shards = three()
    alive = start(*shards)
    addresses = [[one.address for one in replicas] for replicas in shards]
    addresses[2] = ["127.0.0.1:1"]
    pool = pool_of(addresses)
    index = ShardedIndex.connect(pool, HASH, alive.metrics, 10.0)
    assert index.search(QUERIES, 5).coverage == pytest.approx(2 / 3, abs=0.01)
    pool.close()


def test_nobody_at_all_is_an_error_that_names_the_addresses() -> None:
    pool = pool_of([["127.0.0.1:1"], ["127.0.0.1:2"]])
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1, 127\.0\.0\.1:2"):
        ShardedIndex.connect(pool, HASH, timeout_s=5.0)
    pool.close()


def test_addresses_are_read_by_shard_and_replica() -> None:
    shards = parse_shards("a:1|b:2,[::1]:3")
    assert [shard.replicas for shard in shards] == [("a:1", "b:2"), ("[::1]:3",)]


@pytest.mark.parametrize(
    "text", ["", "a", "a:1,", "a:1||b:2", "a:x", "a:70000", "a:1,a:1", ":1"]
)
def test_addresses_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_shards(text)
