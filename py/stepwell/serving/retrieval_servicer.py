"""RetrievalService over one index of this process."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
import numpy as np
import numpy.typing as npt

from stepwell.base.errors import DeadlineExceededError, InvalidArgumentError
from stepwell.index.ann_index import AnnIndex, SearchResult
from stepwell.serving.validation import check_message
from stepwell_pb.v1 import retrieval_pb2, retrieval_pb2_grpc

_Context = grpc.aio.ServicerContext[Any, Any]
_Value = TypeVar("_Value")

DEFAULT_EF_SEARCH = 128
"""Width of a search that asks for 0."""

_SEARCH_THREADS = 2
_SENDING_SHARE = 0.1
"""Part of the caller's time kept back for the way home."""


class RetrievalServicer(retrieval_pb2_grpc.RetrievalServiceServicer):
    """Checks a request against its limits and the index, then works off the event loop.

    Args:
        index: searched and changed in place; nothing is written to disk.
        default_ef_search: width for requests that leave it 0.

    Concurrency: one event loop. Searches and writes have threads of their own, so
    that a queue of writes holds up a search no longer than the write that is running.
    """

    def __init__(
        self, index: AnnIndex, default_ef_search: int = DEFAULT_EF_SEARCH
    ) -> None:
        self._index = index
        self._default_ef_search = default_ef_search
        self._dim = index.stats().dim
        self._space_hash = index.stats().space_hash
        self._searchers = ThreadPoolExecutor(_SEARCH_THREADS, "retrieval-search")
        self._writer = ThreadPoolExecutor(1, "retrieval-write")

    def close(self) -> None:
        """Waits for the running calls and ends the threads."""
        self._searchers.shutdown()
        self._writer.shutdown()

    async def Search(
        self, request: retrieval_pb2.SearchRequest, context: _Context
    ) -> retrieval_pb2.SearchResponse:
        """Returns the nearest items to each query.

        Raises:
            DeadlineExceededError: the time was over before the search was: half an
                answer would not say that it is one.
        """
        check_message(request)
        queries = self._matrix(request.queries, "queries")
        budget_us = _budget_us(context.time_remaining())

        def search() -> SearchResult:
            return self._index.search(
                queries,
                request.k,
                ef_search=request.ef_search or self._default_ef_search,
                exclude_ids=np.array(request.exclude_labels, np.int64),
                budget_us=budget_us,
            )

        result = await _run(self._searchers, search)
        if result.truncated.any():
            raise DeadlineExceededError(f"search not done within {budget_us} us")
        return retrieval_pb2.SearchResponse(
            results=[_neighbours(result, row) for row in range(len(queries))],
            embedding_space_hash=self._space_hash,
        )

    async def Upsert(
        self, request: retrieval_pb2.UpsertRequest, context: _Context
    ) -> retrieval_pb2.UpsertResponse:
        """Adds or replaces vectors, all or none."""
        check_message(request)
        labels = np.array(request.labels, np.int64)
        _check_labels(labels)
        if len(request.vectors) != len(labels):
            text = (
                f"vectors has {len(request.vectors)} entries, must have {len(labels)}"
            )
            raise InvalidArgumentError(f"{text}, one per label", "vectors")
        vectors = self._matrix(request.vectors, "vectors")
        await _run(self._writer, lambda: self._index.upsert(vectors, labels))
        return retrieval_pb2.UpsertResponse(num_upserted=len(labels))

    async def Delete(
        self, request: retrieval_pb2.DeleteRequest, context: _Context
    ) -> retrieval_pb2.DeleteResponse:
        """Removes items from all later answers."""
        check_message(request)
        labels = np.array(request.labels, np.int64)
        deleted, unknown = await _run(self._writer, lambda: self._index.delete(labels))
        return retrieval_pb2.DeleteResponse(num_deleted=deleted, num_unknown=unknown)

    async def Stats(
        self, request: retrieval_pb2.StatsRequest, context: _Context
    ) -> retrieval_pb2.StatsResponse:
        """Returns what the index holds now."""
        stats = await _run(self._searchers, self._index.stats)
        return retrieval_pb2.StatsResponse(
            num_items=stats.num_items,
            num_deleted=stats.num_deleted,
            dim=stats.dim,
            metric=stats.metric,
            m=stats.m,
            ef_construction=stats.ef_construction,
            embedding_space_hash=stats.space_hash,
        )

    def _matrix(
        self, vectors: Sequence[retrieval_pb2.Vector], field: str
    ) -> npt.NDArray[np.float32]:
        for place, vector in enumerate(vectors):
            if len(vector.values) != self._dim:
                path = f"{field}[{place}].values"
                text = f"{path} has {len(vector.values)} entries, must be in"
                raise InvalidArgumentError(f"{text} [{self._dim}, {self._dim}]", path)
        return np.array([vector.values for vector in vectors], np.float32)


async def _run(executor: ThreadPoolExecutor, work: Callable[[], _Value]) -> _Value:
    return await asyncio.get_running_loop().run_in_executor(executor, work)


def _budget_us(remaining: float | None) -> int:
    """Microseconds for a search; 0, no limit, for a call without a deadline."""
    if remaining is None:
        return 0
    if remaining <= 0:
        raise DeadlineExceededError("deadline passed before the search")
    longest_seconds = 60.0
    seconds = min(remaining, longest_seconds) * (1.0 - _SENDING_SHARE)
    return max(1, int(seconds * 1e6))


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
    )
