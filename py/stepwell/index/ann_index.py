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

from collections.abc import Callable
from os import PathLike, fspath
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from stepwell.index.extension import load_extension
from stepwell.index.item_filter import IdSet
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
    "Progress",
    "SearchResult",
    "Strategy",
    "Vectors",
]

Progress = Callable[[int, int], object]
Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class AnnIndex(Protocol):
    """Vectors under int64 ids >= 0, searched by score.

    Concurrency: every method may be called from any thread and runs without the GIL. A
    search that starts after a write has returned sees all of it; one that runs beside a
    write sees each of its items as before or as after it, and no id twice. How much
    runs side by side is said by each class.
    """

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
        """Returns the k nearest items of each query.

        Args:
            queries: float32 [B, D], row-major; other numbers are converted.
            k: neighbours of each query, 1 <= k <= 10_000.
            ef_search: width of the search, 1..10_000; at least k is used, and 1.25 k
                where the best by codes are scored again by kept vectors. hnswlib's
                ef, faiss's efSearch, usearch's expansion_search. The exact index
                ignores it.
            exclude_ids: int64 [E], never returned; unknown ones are ignored.
            allowed: bool [A], only ids i < A with allowed[i] are returned; or an
                IdSet of ItemAttributes.compile, which is taken as it is.
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

    def __init__(self, native: Any) -> None:
        self._native = native

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

    @classmethod
    def open(
        cls, path: str | PathLike[str], expected_space_hash: bytes | None = None
    ) -> Self:
        """Opens a file of `save`.

        Raises:
            NotFoundError: there is no such file.
            DataLossError: a byte is not what was written; says which part.
            FailedPreconditionError: another kind of index, format version or, where a
                hash is expected, embedding space.
        """
        native = load_extension().FlatIndex
        return cls(native.open(fspath(path), expected_space_hash))

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
    """Approximate search over a graph that changes while it is searched. An AnnIndex.

    The graph is walked over codes (HnswOptions.codes), and the best found are scored
    again by their float32 vectors where these are kept.

    Concurrency: searches wait for nobody. Upserts and deletes run beside them and
    beside each other; they wait for a growth, which copies the index, and for save.
    What was deleted or replaced is taken out of the graph by a thread of the index, and
    its memory is used again: recall and memory stay as they are under churn.
    Source: Malkov & Yashunin, arXiv:1603.09320. Differences: deletion, and a search
    chooses by the number of allowed items whether it walks or scans.
    """

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        expected_space_hash: bytes | None = None,
        *,
        num_threads: int = 1,
        background: bool = True,
    ) -> Self:
        """Maps a file of `save`; processes that open it share its memory.

        The first write copies it into memory of its own.

        Args:
            expected_space_hash: 32 bytes; None takes any space.
            num_threads, background: as in HnswOptions, which the file does not hold.
        Raises: as FlatIndex.open.
        Cost: reads the file once, to check every byte, count and link.
        """
        native = load_extension().HnswIndex
        path = fspath(path)
        return cls(native.open(path, expected_space_hash, num_threads, background))

    @classmethod
    def build(
        cls,
        vectors: Vectors,
        ids: Ids,
        options: HnswOptions | None = None,
        *,
        progress: Progress | None = None,
    ) -> Self:
        """Builds over float32 [N, D] vectors under int64 [N] ids; N = 0 fixes D only.

        See IndexBuild for one that outlives a kill.

        Args:
            progress: called now and then with (items done, N); what it raises ends the
                build.
        Raises:
            InvalidArgumentError: as upsert, or an option out of its range.
            ResourceExhaustedError: memory is out.
        Cost: about ef_construction * M distances an item, on num_threads cores.
        """
        native = load_extension().HnswIndex
        return cls(native.build(vectors, ids, options or HnswOptions(), progress))

    @classmethod
    def import_hnswlib(
        cls, path: str | PathLike[str], options: HnswOptions, dim: int
    ) -> Self:
        """Takes over a file of hnswlib 0.8's save_index: graph, labels, deletions.

        M and ef_construction are the file's; its metric and D are not in it. Vectors of
        a "cosine" file have unit norm in it.

        Args:
            path: the file.
            options: metric, codes, keep_vectors, space_hash and those of running are
                used.
            dim: D, checked against the file's sizes.
        Raises:
            NotFoundError: there is no such file.
            DataLossError: a count, offset, link, label or vector cannot be right; says
                which.
            FailedPreconditionError: vectors of another D, or lists of other sizes than
                M in [2, 128] and 2 M.
            InvalidArgumentError: an option out of its range.
        """
        native = load_extension().HnswIndex
        return cls(native.import_hnswlib(fspath(path), options, dim))

    def reclaim(self) -> None:
        """Takes all deleted and replaced items out of the graph now, and waits for it.

        The index's own thread does so by and by; searches and writes go on meanwhile.
        """
        self._native.reclaim()

    def ids(self) -> Ids:
        """Returns the ids that a search can return, int64 [N] ascending."""
        ids: Ids = self._native.ids()
        return ids

    def vectors(self, ids: Ids) -> Vectors:
        """Returns the items' vectors as they are compared, float32 [n, D].

        Under cosine they have unit norm; without kept vectors they are what the codes
        stand for.

        Raises:
            NotFoundError: an id is unknown.
        """
        vectors: Vectors = self._native.vectors(ids)
        return vectors
