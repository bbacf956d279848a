"""Nearest-neighbour search: one interface, an exact index and a graph.

Letters: B queries, K neighbours asked for, N items, D dimension.
"""

from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import InvalidArgumentError
from stepwell.index.extension import load_extension

Metric = Literal["cosine", "inner_product", "l2"]
Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

NO_SPACE_HASH = bytes(32)

_NO_IDS: Ids = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class FlatOptions:
    """How a FlatIndex compares.

    Attributes:
        metric: "cosine" keeps copies of unit norm; a score is higher for a better item
            under each metric ("l2" gives the negative squared distance).
        space_hash: 32 bytes, the SHA-256 of the embedding space the vectors are in.
    """

    metric: Metric = "cosine"
    space_hash: bytes = NO_SPACE_HASH


@dataclass(frozen=True, slots=True)
class HnswOptions:
    """How an HnswIndex compares and is built.

    Attributes:
        metric, space_hash: as in FlatOptions.
        m: links of a node above level 0, twice that on it, 2..128. M in hnswlib, faiss
            and the paper; usearch calls it connectivity. hnswlib's default.
        ef_construction: width of the search for a new item's neighbours, 1..10_000;
            hnswlib's default, faiss's efConstruction, usearch's expansion_add.
        seed: of the items' levels.
        num_threads: of build and upsert, 1..64; with one the graph is the same each
            time.
    """

    metric: Metric = "cosine"
    m: int = 16
    ef_construction: int = 200
    seed: int = 0
    num_threads: int = 1
    space_hash: bytes = NO_SPACE_HASH


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best items of each query, best first, ties by lower id.

    Attributes:
        ids: int64 [B, K], padded with -1.
        scores: float32 [B, K] descending, 0 in the padding.
        counts: int32 [B], how many of the K are real: fewer than K items may be alive
            and allowed.
        truncated: bool [B], the time was over before the search was.
        num_visited: nodes whose neighbours were read, all queries together.
        num_distances: distances computed, all queries together.
        strategy: what was planned: "graph", "wider_graph" (a wider walk, filtered at
            its end), "filtered_graph" (a walk until enough items pass) or "exact".
        num_exact: queries whose answer came from a scan, planned or not.
    """

    ids: Ids
    scores: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int32]
    truncated: npt.NDArray[np.bool_]
    num_visited: int
    num_distances: int
    strategy: str
    num_exact: int


@dataclass(frozen=True, slots=True)
class IndexStats:
    """What an index holds; m and ef_construction are 0 for the exact one."""

    num_items: int
    num_deleted: int
    dim: int
    metric: Metric
    m: int
    ef_construction: int
    memory_bytes: int
    space_hash: bytes


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
    ) -> SearchResult:
        """Returns the k nearest items of each query.

        Args:
            queries: float32 [B, D], row-major; other types are converted.
            k: neighbours of each query, 1 <= k <= 10_000.
            ef_search: width of the search, 1..10_000, at least k is used; hnswlib's
                ef, faiss's efSearch, usearch's expansion_search. The exact index
                ignores it.
            exclude_ids: int64 [E], never returned; unknown ones are ignored.
            allowed: bool [A], only ids i < A with allowed[i] are returned.
            budget_us: time for the whole call in microseconds, 0 for no limit; when it
                is over the best found so far is returned and marked.
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


def _as_vectors(values: npt.ArrayLike, field: str) -> Vectors:
    """float32, row-major. No copy for an array that is so already."""
    if isinstance(values, np.ndarray) and values.dtype.kind not in "fiu":
        raise InvalidArgumentError(
            f"{field} has dtype {values.dtype}, must be float32", field
        )
    return np.ascontiguousarray(values, np.float32)


def _as_ids(values: npt.ArrayLike, field: str) -> Ids:
    """int64; a float id is a mistake of the caller, not something to round."""
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise InvalidArgumentError(
            f"{field} has dtype {array.dtype}, must be int64", field
        )
    return np.ascontiguousarray(array, np.int64)


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
    ) -> SearchResult:
        """See AnnIndex.search."""
        excluded = (
            _NO_IDS if exclude_ids is None else _as_ids(exclude_ids, "exclude_ids")
        )
        if allowed is not None and np.asarray(allowed).dtype != np.bool_:
            raise InvalidArgumentError("allowed must be a bool array", "allowed")
        return SearchResult(
            *self._native.search(
                _as_vectors(queries, "queries"),
                k,
                ef_search,
                excluded,
                allowed,
                budget_us,
            )
        )

    def upsert(self, vectors: Vectors, ids: Ids) -> None:
        """See AnnIndex.upsert."""
        self._native.upsert(_as_vectors(vectors, "vectors"), _as_ids(ids, "ids"))

    def delete(self, ids: Ids) -> tuple[int, int]:
        """See AnnIndex.delete."""
        removed, unknown = self._native.delete(_as_ids(ids, "ids"))
        return removed, unknown

    def save(self, path: str | PathLike[str]) -> None:
        """See AnnIndex.save."""
        self._native.save(fspath(path))

    def stats(self) -> IndexStats:
        """See AnnIndex.stats."""
        return IndexStats(**self._native.stats())


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
                _as_vectors(vectors, "vectors"),
                _as_ids(ids, "ids"),
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
                _as_vectors(vectors, "vectors"),
                _as_ids(ids, "ids"),
                metric=options.metric,
                m=options.m,
                ef_construction=options.ef_construction,
                seed=options.seed,
                num_threads=options.num_threads,
                space_hash=options.space_hash,
            )
        )
