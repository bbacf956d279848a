"""RetrievalService over one index of this process, or over one shard of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from stepwell.base.clock import Clock, SystemClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import DeadlineExceededError, InvalidArgumentError
from stepwell.base.metric_names import INDEX_SEARCH_SECONDS, INDEX_SEARCHES_TRUNCATED
from stepwell.base.metrics import Metrics
from stepwell.embeddings.label_shards import LabelShards
from stepwell.index.ann_index import AnnIndex, SearchResult
from stepwell.retrieval.recall_probe import RecallProbe
from stepwell.serving.bounded_executor import BoundedExecutor
from stepwell.serving.validation import check_message
from stepwell_pb.v1 import retrieval_pb2, retrieval_pb2_grpc

_Context = grpc.aio.ServicerContext[Any, Any]

DEFAULT_EF_SEARCH = 128
"""Width of a search that asks for 0."""

_SENDING_SHARE = 0.1
"""Part of the caller's time kept back for the way home."""

_LONGEST_SEARCH_US = 60_000_000


@dataclass(frozen=True, slots=True)
class OwnShard:
    """Which part of an index a process serves: `number` of the cut `shards`."""

    number: int
    shards: LabelShards


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """Settings of the service.

    Attributes:
        default_ef_search: width for requests that leave it 0.
        num_searchers: threads that search; one a core is enough.
        max_waiting: searches, and writes, that may wait for a thread.
        shard: labels of other shards are refused; None serves all labels.
        recall_probe_share: part of the queries whose recall is measured.
    """

    default_ef_search: int = DEFAULT_EF_SEARCH
    num_searchers: int = 2
    max_waiting: int = 64
    shard: OwnShard | None = None
    recall_probe_share: float = 0.001


class RetrievalServicer(retrieval_pb2_grpc.RetrievalServiceServicer):
    """Checks a request against its limits and the index, then works off the event loop.

    Args:
        index: searched and changed in place; nothing is written to disk.
        metrics: time of searches.
        options: threads and limits.
        clock: monotonic time.
        probe: measures the recall of a share of the queries; None measures none.

    Concurrency: one event loop. Searches and writes have threads and queues of their
    own, so that a queue of writes holds up no search.
    """

    def __init__(
        self,
        index: AnnIndex,
        metrics: Metrics | None = None,
        options: RetrievalOptions | None = None,
        clock: Clock | None = None,
        probe: RecallProbe | None = None,
    ) -> None:
        self._index = index
        self._metrics = metrics or Metrics()
        self._options = options or RetrievalOptions()
        self._clock = clock or SystemClock()
        stats = index.stats()
        self._dim, self._space_hash = stats.dim, stats.space_hash
        waiting = self._options.max_waiting
        self._searchers = BoundedExecutor(
            "retrieval-search", self._options.num_searchers, waiting
        )
        self._writer = BoundedExecutor("retrieval-write", 1, waiting)
        self._probe = probe
        self._num_writes = 0

    @property
    def changed(self) -> bool:
        """Whether a write has changed the index since it was given."""
        return self._num_writes > 0

    def close(self) -> None:
        """Finishes what was taken in and ends the threads."""
        self._searchers.close()
        self._writer.close()

    async def Search(
        self, request: retrieval_pb2.SearchRequest, context: _Context
    ) -> retrieval_pb2.SearchResponse:
        """Returns the nearest items to each query, as far as the time allows.

        Raises:
            DeadlineExceededError: the time was over before the search began.
            ResourceExhaustedError: too many searches wait.
        """
        check_message(request)
        queries = self._matrix(request.queries, "queries")
        deadline = self._search_deadline(context.time_remaining())
        return await self._searchers.run(
            lambda: self._answer(self._search(request, queries, deadline))
        )

    async def Upsert(
        self, request: retrieval_pb2.UpsertRequest, context: _Context
    ) -> retrieval_pb2.UpsertResponse:
        """Adds or replaces vectors, all or none."""
        check_message(request)
        labels = np.array(request.labels, np.int64)
        _check_labels(labels)
        self._check_owned(labels)
        if len(request.vectors) != len(labels):
            text = (
                f"vectors has {len(request.vectors)} entries, must have {len(labels)}"
            )
            raise InvalidArgumentError(f"{text}, one per label", "vectors")
        vectors = self._matrix(request.vectors, "vectors")
        await self._writer.run(lambda: self._upsert(vectors, labels))
        return retrieval_pb2.UpsertResponse(num_upserted=len(labels))

    async def Delete(
        self, request: retrieval_pb2.DeleteRequest, context: _Context
    ) -> retrieval_pb2.DeleteResponse:
        """Removes items from all later answers."""
        check_message(request)
        labels = np.array(request.labels, np.int64)
        self._check_owned(labels[labels >= 0])
        deleted, unknown = await self._writer.run(lambda: self._delete(labels))
        return retrieval_pb2.DeleteResponse(num_deleted=deleted, num_unknown=unknown)

    async def Stats(
        self, request: retrieval_pb2.StatsRequest, context: _Context
    ) -> retrieval_pb2.StatsResponse:
        """Returns what the index holds now."""
        stats = await self._searchers.run(self._index.stats)
        response = retrieval_pb2.StatsResponse(
            num_items=stats.num_items,
            num_deleted=stats.num_deleted,
            dim=stats.dim,
            metric=stats.metric,
            m=stats.m,
            ef_construction=stats.ef_construction,
            embedding_space_hash=stats.space_hash,
            memory_bytes=stats.memory_bytes,
            num_nodes=stats.num_nodes,
            num_free=stats.num_free,
            codes=stats.codes,
            keep_vectors=stats.keep_vectors,
            mapped=stats.mapped,
        )
        if self._options.shard is not None:
            shards = self._options.shard.shards
            response.shard = self._options.shard.number
            response.num_shards = shards.num_shards
            response.partition = shards.partition.value
            response.num_labels = shards.num_labels
        return response

    def _search_deadline(self, remaining: float | None) -> Deadline:
        """When a search that comes now has to end; a minute without a deadline."""
        budget_us = _LONGEST_SEARCH_US
        if remaining is not None:
            seconds = min(remaining * (1.0 - _SENDING_SHARE), _LONGEST_SEARCH_US / 1e6)
            budget_us = int(seconds * 1e6)
        return Deadline.after_us(self._clock, budget_us)

    def _search(
        self,
        request: retrieval_pb2.SearchRequest,
        queries: npt.NDArray[np.float32],
        deadline: Deadline,
    ) -> SearchResult:
        allowed = None
        if request.HasField("allowed_labels"):
            bitmap = np.frombuffer(request.allowed_labels, np.uint8)
            allowed = np.unpackbits(bitmap, bitorder="little").view(np.bool_)
        budget_us = deadline.remaining_us()
        if budget_us <= 0:
            raise DeadlineExceededError("the deadline passed before the search began")
        started_us = self._clock.monotonic_us()
        excluded = np.array(request.exclude_labels, np.int64)
        result = self._index.search(
            queries,
            request.k,
            ef_search=request.ef_search or self._options.default_ef_search,
            exclude_ids=excluded,
            allowed=allowed,
            budget_us=budget_us,
            exact=request.exact,
        )
        took_us = self._clock.monotonic_us() - started_us
        self._metrics.observe(INDEX_SEARCH_SECONDS, took_us / 1e6)
        if result.truncated.any():
            amount = int(result.truncated.sum())
            self._metrics.add(INDEX_SEARCHES_TRUNCATED, amount=amount)
        if self._probe is not None and not request.exact:
            for query, ids in zip(queries, result.ids, strict=True):
                self._probe.observe(
                    query, request.k, ids, exclude_ids=excluded, allowed=allowed
                )
        return result

    # On the writer's one thread: a write whose caller has gone is a change as well.
    def _upsert(
        self, vectors: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
    ) -> None:
        self._index.upsert(vectors, labels)
        self._num_writes += 1

    def _delete(self, labels: npt.NDArray[np.int64]) -> tuple[int, int]:
        deleted, unknown = self._index.delete(labels)
        self._num_writes += deleted > 0
        return deleted, unknown

    def _answer(self, result: SearchResult) -> retrieval_pb2.SearchResponse:
        shard = self._options.shard
        return retrieval_pb2.SearchResponse(
            results=[_neighbours(result, row) for row in range(len(result.counts))],
            embedding_space_hash=self._space_hash,
            num_visited=result.num_visited,
            num_distances=result.num_distances,
            strategy=result.strategy,
            num_exact=result.num_exact,
            num_items=self._index.stats().num_items,
            shard=shard.number if shard else 0,
            num_shards=shard.shards.num_shards if shard else 0,
        )

    def _check_owned(self, labels: npt.NDArray[np.int64]) -> None:
        shard = self._options.shard
        if shard is not None:
            shard.shards.check_owned(labels, shard.number)

    def _matrix(
        self, vectors: Sequence[retrieval_pb2.Vector], field: str
    ) -> npt.NDArray[np.float32]:
        for place, vector in enumerate(vectors):
            if len(vector.values) != self._dim:
                path = f"{field}[{place}].values"
                text = f"{path} has {len(vector.values)} entries, must be in"
                raise InvalidArgumentError(f"{text} [{self._dim}, {self._dim}]", path)
        return np.array([vector.values for vector in vectors], np.float32)


def _check_labels(labels: npt.NDArray[np.int64]) -> None:
    """Each label is >= 0 and there once."""
    negative = np.flatnonzero(labels < 0)
    if negative.size:
        path = f"labels[{negative[0]}]"
        raise InvalidArgumentError(
            f"{path} is {labels[negative[0]]}, must be >= 0", path
        )
    values, counts = np.unique(labels, return_counts=True)
    if (counts > 1).any():
        text = f"labels has {values[counts > 1][0]} more than once"
        raise InvalidArgumentError(f"{text}, each must be there once", "labels")


def _neighbours(result: SearchResult, row: int) -> retrieval_pb2.Neighbours:
    count = int(result.counts[row])
    return retrieval_pb2.Neighbours(
        labels=result.ids[row, :count].tolist(),
        scores=result.scores[row, :count].tolist(),
        truncated=bool(result.truncated[row]),
    )
