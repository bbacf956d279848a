"""An index in parts, each served by processes of its own, searched as one."""

from collections.abc import Collection, Mapping, Sequence
from os import PathLike
from typing import Any, cast

import grpc
import numpy as np
import numpy.typing as npt

from stepwell.base.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    UnavailableError,
)
from stepwell.base.metric_names import SHARD_COVERAGE
from stepwell.base.metrics import Metrics
from stepwell.index.item_filter import IdSet
from stepwell.index.search_result import IndexStats, SearchResult, Strategy
from stepwell.retrieval.fan_out import FanOut
from stepwell.retrieval.shard_answer import (
    Expected,
    Ids,
    ShardAnswer,
    Vectors,
    checked_answer,
    search_request,
)
from stepwell.retrieval.shard_pool import Replica, ShardPool
from stepwell.retrieval.shard_survey import Survey, survey
from stepwell_pb.v1 import retrieval_pb2

_MERGING_SHARE = 0.05
"""Part of a search's time kept back for the merge."""

_WRITE_SECONDS = 10.0
_WRITE_LABELS = 1_000
_WRITE_BYTES = 2 << 20


class ShardedIndex:
    """An AnnIndex over the shards of a pool.

    A search asks every shard for its k best and merges them by score. A shard that is
    late, dead, or that answers what it was not asked, lowers the coverage; the search
    is an error only when none answered.

    Args:
        pool: the servers; outlives this.
        seen: what `survey` found: the cut, the space, the items of each shard.
        metrics: failures, retries, hedges, coverage.

    Concurrency: thread-safe. Cost: one round trip to all shards at once, about 1 ms on
    loopback beside the slowest shard's search.
    """

    def __init__(self, pool: ShardPool, seen: Survey, metrics: Metrics) -> None:
        self._pool = pool
        self._seen = seen
        self._metrics = metrics
        # By shard; the latest answer counts. Plain stores: each is atomic.
        self._num_items = list(seen.num_items)

    @classmethod
    def connect(
        cls,
        pool: ShardPool,
        expected_space_hash: bytes,
        metrics: Metrics | None = None,
        timeout_s: float = 5.0,
    ) -> "ShardedIndex":
        """Asks every server what it is, then returns the index.

        Raises:
            FailedPreconditionError: a shard has no server of the expected embedding
                space, or servers contradict each other; names address and both values.
            UnavailableError: no server answered.
        """
        seen = survey(pool, expected_space_hash, timeout_s)
        return cls(pool, seen, metrics or Metrics())

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        ef_search: int = 64,
        exclude_ids: Ids | None = None,
        allowed: npt.NDArray[np.bool_] | IdSet | None = None,
        budget_us: int = 0,
        exact: bool = False,
    ) -> SearchResult:
        """As AnnIndex.search, over all shards; `coverage` says how much answered.

        Narrower than in one process: 64 queries, k <= 2_000, 1_000 excluded ids,
        allowed up to 16M ids. It takes the pool's hop or `budget_us`, the sooner.

        Raises:
            InvalidArgumentError: a value out of its range, or so says a shard.
            UnavailableError: no shard answered; names the causes.
        """
        excluded = np.empty(0, np.int64) if exclude_ids is None else exclude_ids
        queries = np.asarray(queries, np.float32)
        request = search_request(queries, k, ef_search, excluded, allowed)
        request.exact = exact
        shards = self._seen.shards
        expected = Expected(self._seen.space_hash, shards, len(queries), k)
        fan_out: FanOut[ShardAnswer] = FanOut(
            self._pool,
            self._metrics,
            lambda stub, seconds: stub.Search.future(request, timeout=seconds),
            lambda shard, response: checked_answer(response, shard, expected),
        )
        hop_us = self._pool.options.hop_us
        wait_us = min(hop_us, int(budget_us * (1 - _MERGING_SHARE)) or hop_us)
        answers = fan_out.run(self._pool.clock.monotonic_us() + wait_us)
        if not answers:
            raise UnavailableError(f"no shard answered: {_causes(fan_out.causes)}")
        return self._merged(answers, len(queries), k)

    def upsert(self, vectors: Vectors, ids: Ids) -> None:
        """Adds or replaces items at every server of their shards.

        Raises:
            InvalidArgumentError: not finite, an id below 0 or twice: nothing is
                changed; or so says a shard, and others may have taken their part.
            UnavailableError: names the servers that did not take theirs; sent again
                as it was, it changes nothing where it was taken.
        """
        vectors, ids = np.asarray(vectors, np.float32), _whole(ids)
        if vectors.ndim != 2 or ids.shape != vectors.shape[:1]:
            text = f"vectors has shape {vectors.shape}, ids {ids.shape}: one id a row"
            raise InvalidArgumentError(text, "vectors")
        _check_items(vectors, ids)
        step = max(1, min(_WRITE_LABELS, _WRITE_BYTES // (4 * vectors.shape[1] + 16)))
        requests = {
            shard: [
                retrieval_pb2.UpsertRequest(
                    labels=ids[some].tolist(),
                    vectors=[
                        retrieval_pb2.Vector(values=row)
                        for row in vectors[some].tolist()
                    ],
                )
                for some in _steps(places, step)
            ]
            for shard, places in self._places(ids).items()
        }
        self._write("Upsert", requests)

    def delete(self, ids: Ids) -> tuple[int, int]:
        """Removes items at every server of their shards; (removed, unknown).

        Raises:
            UnavailableError: as upsert.
        """
        num_asked, ids = len(ids), _whole(ids)
        # No shard has these; they are unknown, as everywhere.
        ids = ids[ids >= 0]
        requests = {
            shard: [
                retrieval_pb2.DeleteRequest(labels=ids[some].tolist())
                for some in _steps(places, _WRITE_LABELS)
            ]
            for shard, places in self._places(ids).items()
        }
        responses = self._write("Delete", requests)
        removed = sum(response.num_deleted for response in responses)
        return removed, num_asked - removed

    def save(self, path: str | PathLike[str]) -> None:
        """Not here: each server saves its own file."""
        raise FailedPreconditionError(f"{path}: shards save their own files")

    def stats(self) -> IndexStats:
        """Returns what the shards that answer hold, added up.

        Raises:
            UnavailableError: as `connect`. FailedPreconditionError: as `connect`.
        """
        return survey(self._pool, self._seen.space_hash, _WRITE_SECONDS).stats

    def _merged(
        self, answers: Mapping[int, ShardAnswer], num_queries: int, k: int
    ) -> SearchResult:
        for shard, answer in answers.items():
            self._num_items[shard] = answer.num_items
        coverage = _coverage(self._num_items, answers.keys())
        self._metrics.set(SHARD_COVERAGE, coverage)
        parts = list(answers.values())
        ids = np.full((num_queries, k), -1, np.int64)
        scores = np.zeros((num_queries, k), np.float32)
        counts = np.zeros(num_queries, np.int32)
        for row in range(num_queries):
            labels = np.concatenate([part.labels[row] for part in parts])
            values = np.concatenate([part.scores[row] for part in parts])
            best = np.lexsort((labels, -values))[:k]
            counts[row] = len(best)
            ids[row, : len(best)], scores[row, : len(best)] = labels[best], values[best]
        return SearchResult(
            ids=ids,
            scores=scores,
            counts=counts,
            truncated=np.logical_or.reduce([part.truncated for part in parts]),
            num_visited=sum(part.num_visited for part in parts),
            num_distances=sum(part.num_distances for part in parts),
            strategy=cast(Strategy, parts[0].strategy),
            num_exact=sum(part.num_exact for part in parts),
            coverage=coverage,
        )

    def _places(self, ids: Ids) -> dict[int, npt.NDArray[np.int64]]:
        """Where the ids of each shard stand."""
        owners = self._seen.shards.of_labels(ids)
        return {int(n): np.flatnonzero(owners == n) for n in np.unique(owners)}

    def _write(self, method: str, requests: Mapping[int, Sequence[Any]]) -> list[Any]:
        """Sends each shard's requests to all its servers, in their order at each.

        Returns the answers of the first server of each shard.
        """
        answers: list[Any] = []
        failed: set[str] = set()
        for shard, parts in requests.items():
            replicas = sorted(self._pool.replicas(shard), key=_address)
            for request in parts:
                calls = [
                    getattr(one.stub, method).future(request, timeout=_WRITE_SECONDS)
                    for one in replicas
                ]
                outcomes = [_outcome(call) for call in calls]
                answers += [one for one in outcomes[:1] if not isinstance(one, str)]
                failed |= {
                    f"{replica.address}: {outcome}"
                    for replica, outcome in zip(replicas, outcomes, strict=True)
                    if isinstance(outcome, str)
                }
        if failed:
            raise UnavailableError(f"not written at {', '.join(sorted(failed))}")
        return answers


def _whole(ids: Ids) -> Ids:
    """The ids as int64; one that had to be rounded is a mistake of the caller."""
    given = np.asarray(ids)
    if given.size and given.dtype.kind not in "iu":
        raise InvalidArgumentError(f"ids has dtype {given.dtype}, must be int64", "ids")
    return given.astype(np.int64)


def _check_items(vectors: Vectors, ids: Ids) -> None:
    """What would be noticed by one shard when others have taken their part."""
    if ids.size and ids.min() < 0:
        raise InvalidArgumentError(f"ids has {ids.min()}, must be >= 0", "ids")
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise InvalidArgumentError(f"ids has {values[counts > 1][0]} twice", "ids")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if bad.size:
        raise InvalidArgumentError(f"vectors row {bad[0]} is not finite", "vectors")


def _outcome(call: Any) -> Any:
    """The response of a write, or the name of the code that it failed with."""
    try:
        return call.result()
    except grpc.RpcError:
        if call.code() is grpc.StatusCode.INVALID_ARGUMENT:
            raise InvalidArgumentError(call.details() or "", "ids") from None
        return str(call.code().name)


def _address(replica: Replica) -> str:
    return replica.address


def _steps(places: npt.NDArray[np.int64], step: int) -> list[npt.NDArray[np.int64]]:
    return [places[start : start + step] for start in range(0, len(places), step)]


def _coverage(num_items: Sequence[int], answered: Collection[int]) -> float:
    """Share of the items whose shard answered; of the shards where all are empty."""
    total = sum(num_items)
    if not total:
        return len(answered) / len(num_items)
    return sum(num_items[shard] for shard in answered) / total


def _causes(causes: Mapping[int, str]) -> str:
    return ", ".join(f"shard {shard} {why}" for shard, why in sorted(causes.items()))
