"""Nearest-neighbour search: one interface, an exact index and a graph.

    index = HnswIndex.build(vectors, ids)          # float32 [N, D], int64 [N]
    found = index.search(queries, 10, ef_search=100)
    found.ids, found.scores                        # int64, float32 [B, 10]

Letters: B queries, K neighbours asked for, N items, D dimension.

What a call gets that asks for what there is not:

    a vector of another D, of NaN or      InvalidArgumentError, which names the row;
    infinity, or under cosine of zeros    nothing is changed
    k or ef_search of 0 or above 10_000   InvalidArgumentError
    k above the number of items           a short list: counts says how short, ids are
                                          padded with -1
    an unknown id                         delete counts it; exclude_ids and allowed
                                          ignore it
    an id twice in one upsert             InvalidArgumentError; nothing is changed
    an id twice in one delete             unknown the second time
    an id below 0                         upsert: InvalidArgumentError
"""

from os import PathLike, fspath
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from stepwell.index.extension import load_extension
from stepwell.index.options import (
    NO_SPACE_HASH,
    Codes,
    FlatOptions,
    HnswOptions,
    Metric,
)
from stepwell.index.search_result import IndexStats, SearchResult, Strategy

__all__ = [
    "NO_SPACE_HASH",
    "AnnIndex",
    "Codes",
    "FlatIndex",
    "FlatOptions",
    "HnswIndex",
    "HnswOptions",
    "Ids",
    "IndexStats",
    "Metric",
    "SearchResult",
    "Strategy",
    "Vectors",
]

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class AnnIndex(Protocol):
    """Vectors under int64 ids >= 0, searched by score.

    Concurrency: every method may be called from any thread and runs without the GIL.
    Searches, save and stats run side by side; upsert and delete wait for them and run
    alone. A write is seen whole by every search that starts after it.
    """

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        ef_search: int = 64,
        exclude_ids: Ids | None = None,
        allowed: npt.NDArray[np.bool_] | None = None,
        budget_us: int = 0,
        exact: bool = False,
    ) -> SearchResult:
        """Returns the k nearest items of each query.

        Args:
            queries: float32 [B, D], row-major; other numbers are converted.
            k: neighbours of each query, 1 <= k <= 10_000.
            ef_search: width of the search, 1..10_000, at least k is used; hnswlib's
                ef, faiss's efSearch, usearch's expansion_search. The exact index
                ignores it.
            exclude_ids: int64 [E], never returned; unknown ones are ignored.
            allowed: bool [A], only ids i < A with allowed[i] are returned.
            budget_us: time for the whole call in microseconds, 0 for no limit; when it
                is over the best found so far is returned and marked.
            exact: compare every item instead of walking the graph.
        Raises:
            InvalidArgumentError: a value out of its range, D differs from the index,
                a query that is not finite or, under cosine, zero.
        Cost: HNSW about ef_search * M distances of O(D) a query, divided by the share
            of items allowed; where few are allowed they are all compared instead.
        """
        ...

    def upsert(self, vectors: Vectors, ids: Ids) -> None:
        """Adds items, replacing known ones; a deleted id comes back.

        Args:
            vectors: float32 [N, D], finite.
            ids: int64 [N], each >= 0 and there once.
        Raises:
            InvalidArgumentError: nothing is changed then.
            ResourceExhaustedError: memory is out.
        """
        ...

    def delete(self, ids: Ids) -> tuple[int, int]:
        """Removes items; returns (removed, unknown)."""
        ...

    def save(self, path: str | PathLike[str]) -> None:
        """Writes a file that appears whole or not at all, and is durable on return.

        Raises:
            UnavailableError: the disk refused.
        """
        ...

    def stats(self) -> IndexStats:
        """Returns what is in the index now."""
        ...


class _NativeIndex:
    """What both classes share: the calls of AnnIndex on a native object."""

    _native_name: str

    def __init__(self, native: Any) -> None:
        self._native = native

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        expected_space_hash: bytes | None = None,
    ) -> Self:
        """Opens a file of `save`.

        Raises:
            NotFoundError: there is no such file.
            DataLossError: a byte is not what was written; says which part.
            FailedPreconditionError: another kind of index, format version or, where a
                hash is expected, embedding space.
        """
        native_class = getattr(load_extension(), cls._native_name)
        return cls(native_class.open(fspath(path), expected_space_hash))

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        ef_search: int = 64,
        exclude_ids: Ids | None = None,
        allowed: npt.NDArray[np.bool_] | None = None,
        budget_us: int = 0,
        exact: bool = False,
    ) -> SearchResult:
        """See AnnIndex.search."""
        return SearchResult(
            *self._native.search(
                queries, k, ef_search, exclude_ids, allowed, budget_us, exact
            )
        )

    def upsert(self, vectors: Vectors, ids: Ids) -> None:
        """See AnnIndex.upsert."""
        self._native.upsert(vectors, ids)

    def delete(self, ids: Ids) -> tuple[int, int]:
        """See AnnIndex.delete."""
        removed, unknown = self._native.delete(ids)
        return removed, unknown

    def save(self, path: str | PathLike[str]) -> None:
        """See AnnIndex.save."""
        self._native.save(fspath(path))

    def stats(self) -> IndexStats:
        """See AnnIndex.stats."""
        return IndexStats(*self._native.stats())


class FlatIndex(_NativeIndex):
    """Exact search over all items; the oracle of HnswIndex. An AnnIndex."""

    _native_name = "FlatIndex"

    @classmethod
    def build(
        cls, vectors: Vectors, ids: Ids, options: FlatOptions | None = None
    ) -> Self:
        """Holds float32 [N, D] vectors under int64 [N] ids; N = 0 fixes D only.

        Raises:
            InvalidArgumentError: as upsert, or an option out of its range.
        """
        options = options or FlatOptions()
        return cls(
            load_extension().FlatIndex.build(
                vectors,
                ids,
                metric=options.metric,
                space_hash=options.space_hash,
            )
        )


class HnswIndex(_NativeIndex):
    """Approximate search over a navigable small-world graph. An AnnIndex.

    Source: Malkov & Yashunin, arXiv:1603.09320, over hnswlib's graph. A deleted item
    keeps its memory until the index is built anew.
    """

    _native_name = "HnswIndex"

    @classmethod
    def build(
        cls, vectors: Vectors, ids: Ids, options: HnswOptions | None = None
    ) -> Self:
        """Builds over float32 [N, D] vectors under int64 [N] ids; N = 0 fixes D only.

        Raises:
            InvalidArgumentError: as upsert, or an option out of its range.
            ResourceExhaustedError: memory is out.
        Cost: about ef_construction * M distances an item.
        """
        options = options or HnswOptions()
        return cls(
            load_extension().HnswIndex.build(
                vectors,
                ids,
                metric=options.metric,
                m=options.m,
                ef_construction=options.ef_construction,
                seed=options.seed,
                num_threads=options.num_threads,
                space_hash=options.space_hash,
            )
        )
