"""The vectors that the retrieval benchmark searches: GloVe, a user's, or generated.

Letters: N items, B queries, D dimension, K true neighbours of a query.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.retrieval_figures import Floats, Labels, say
from bench.retrieval_glove import glove_vectors
from bench.retrieval_options import RetrievalOptions
from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.index.options import Metric
from stepwell.index.vector_file import read_id_rows, read_vectors

SEED = 0
K = 100
NUM_QUERIES = 1_000
NUM_CLUSTERS = 1_000
CHUNK_ROWS = 100_000
_TRUTH_BATCH = 50
_PLANE = 16


@dataclass(frozen=True, slots=True)
class Workload:
    """What is searched for what.

    Attributes:
        name: as rows call it, such as "GloVe".
        metric: a metric of AnnIndex; under cosine all vectors have unit norm.
        vectors: float32 [N, D], row-major; the id of an item is its row.
        queries: float32 [B, D], none of them an item.
        truth: int64 [B, K], the exact neighbours, best first.
        note: what the reader has to know about the choice, "" for nothing.
    """

    name: str
    metric: Metric
    vectors: Floats
    queries: Floats
    truth: Labels
    note: str = ""

    @property
    def k(self) -> int:
        """Neighbours that every search asks for."""
        return int(self.truth.shape[1])

    @property
    def sizes(self) -> str:
        """Name, N, D and metric for a row."""
        items, dim = self.vectors.shape
        return f"{self.name} {items:,} x {dim} {self.metric}"


@cache
def workload_of(options: RetrievalOptions, folder: Path) -> Workload:
    """Returns the user's vectors, else GloVe, else, with a note, generated ones.

    Args:
        options: names the user's files; `quick` always generates where there are none.
        folder: keeps what was fetched or computed once.
    Raises:
        InvalidArgumentError: files that do not fit together.
        NotFoundError, DataLossError: a file is not there, or not whole.
    """
    if options.vectors is not None:
        return _given(options, options.vectors)
    if options.queries is not None or options.truth is not None:
        raise InvalidArgumentError("--queries and --truth need --vectors")
    if options.quick:
        return generated(num_items=5_000, num_queries=200, dim=32)
    try:
        vectors = glove_vectors(folder)
    except UnavailableError as error:
        say(f"{error}; measuring generated vectors")
        found = generated(num_items=300_000, num_queries=NUM_QUERIES, dim=100)
        note = f"generated vectors in the place of GloVe: {error}"
        return replace(found, note=note)
    items, queries = held_out(vectors, "cosine")
    truth = _kept(folder / f"truth_{NUM_QUERIES}_{K}_{SEED}.npy", items, queries)
    return Workload("GloVe", "cosine", items, queries, truth)


def generated(num_items: int, num_queries: int, dim: int) -> Workload:
    """Returns clustered vectors under cosine, the same ones each time."""
    items = np.concatenate(list(clustered_chunks(num_items, dim)))
    queries = clustered_queries(num_queries, dim)
    truth = exact_neighbours(items, queries, min(K, num_items), "cosine")
    return Workload("generated", "cosine", items, queries, truth)


def clustered_chunks(num_items: int, dim: int) -> Iterator[Floats]:
    """Yields unit vectors around NUM_CLUSTERS centres on a plane of 16 dimensions.

    Item i is of cluster i % NUM_CLUSTERS; clusters overlap, as embeddings' do. A chunk
    depends on the seed and its place only, so that any size begins alike.
    """
    for number, start in enumerate(range(0, num_items, CHUNK_ROWS)):
        rows = np.arange(start, min(start + CHUNK_ROWS, num_items))
        yield _near_centres(rows % NUM_CLUSTERS, dim, seed=(SEED, 1, number))


def clustered_queries(num_queries: int, dim: int) -> Floats:
    """Returns queries around the same centres, none of them an item."""
    return _near_centres(np.arange(num_queries) % NUM_CLUSTERS, dim, seed=(SEED, 2))


def _near_centres(
    clusters: npt.NDArray[np.int64], dim: int, seed: tuple[int, ...]
) -> Floats:
    fixed = np.random.default_rng((SEED, 0))
    centres = fixed.normal(size=(NUM_CLUSTERS, _PLANE)).astype(np.float32)
    plane = fixed.normal(size=(_PLANE, dim)).astype(np.float32)
    random = np.random.default_rng(seed)
    places = random.standard_normal((len(clusters), _PLANE), np.float32)
    noise = random.standard_normal((len(clusters), dim), np.float32)
    return unit_norm((centres[clusters] + places) @ plane + noise)


def unit_norm(vectors: npt.NDArray[np.floating[Any]]) -> Floats:
    """Returns float32 rows of norm 1; a zero row is refused.

    Raises:
        InvalidArgumentError: names the first zero row.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not norms.all():
        zero = int(np.flatnonzero(norms == 0)[0])
        raise InvalidArgumentError(f"vectors: row {zero} is zero", "vectors")
    return np.ascontiguousarray(vectors / norms, np.float32)


def held_out(vectors: Floats, metric: Metric) -> tuple[Floats, Floats]:
    """Splits rows into items and queries by a seeded permutation.

    Raises:
        InvalidArgumentError: too few rows to hold any out.
    """
    num_queries = min(NUM_QUERIES, len(vectors) // 10)
    if num_queries == 0:
        raise InvalidArgumentError(
            f"vectors has {len(vectors)} rows, at least 10 are needed", "vectors"
        )
    order = np.random.default_rng(SEED).permutation(len(vectors))
    chosen = np.ascontiguousarray(vectors[order], np.float32)
    if metric == "cosine":
        chosen = unit_norm(chosen)
    return chosen[num_queries:], chosen[:num_queries]


def exact_neighbours(
    items: Floats,
    queries: Floats,
    k: int,
    metric: Metric,
    allowed: npt.NDArray[np.int64] | None = None,
) -> Labels:
    """Returns the k nearest items of each query, int64 [B, k], ties by lower id.

    Args:
        items: float32 [N, D].
        queries: float32 [B, D].
        k: neighbours; -1 pads where fewer are allowed.
        metric: under cosine both have unit norm.
        allowed: ids that count, ascending; all when None.
    Cost: B * N * D multiply-adds by matrix products; 50 x N floats.
    """
    ids = np.arange(len(items)) if allowed is None else allowed
    rows = items if allowed is None else items[allowed]
    squares = (rows**2).sum(axis=1) if metric == "l2" else np.float32(0)
    found = np.full((len(queries), k), -1, np.int64)
    kept = min(k, len(rows))
    for start in range(0, len(queries) if kept else 0, _TRUTH_BATCH):
        distances = -(queries[start : start + _TRUTH_BATCH] @ rows.T)
        if metric == "l2":
            distances = 2 * distances + squares
        for place, line in enumerate(distances, start):
            best = np.argpartition(line, kept - 1)[:kept]
            found[place, :kept] = ids[best[np.lexsort((best, line[best]))]]
    return found


def _given(options: RetrievalOptions, path: Path) -> Workload:
    """The user's files; what is not given is held out and computed."""
    vectors: Floats = np.ascontiguousarray(read_vectors(path), np.float32)
    if options.queries is None:
        if options.truth is not None:
            raise InvalidArgumentError("--truth needs the --queries that it is of")
        items, queries = held_out(vectors, options.metric)
    else:
        queries = np.ascontiguousarray(read_vectors(options.queries), np.float32)
        if queries.shape[1] != vectors.shape[1]:
            raise InvalidArgumentError(
                f"--queries has dimension {queries.shape[1]}, "
                f"--vectors has {vectors.shape[1]}"
            )
        items = vectors
        if options.metric == "cosine":
            items, queries = unit_norm(items), unit_norm(queries)
    if options.truth is not None:
        truth = _checked_truth(options.truth, len(queries), len(items))
    else:
        say(f"exact neighbours of {len(queries):,} queries")
        k = min(K, len(items))
        truth = exact_neighbours(items, queries, k, options.metric)
    return Workload(path.stem, options.metric, items, queries, truth)


def _checked_truth(path: Path, num_queries: int, num_items: int) -> Labels:
    truth = np.asarray(read_id_rows(path)[:, :K], np.int64)
    if len(truth) != num_queries:
        raise InvalidArgumentError(
            f"--truth has {len(truth)} rows, --queries has {num_queries}"
        )
    if truth.size == 0 or truth.min() < 0 or truth.max() >= num_items:
        raise InvalidArgumentError(f"--truth holds an id outside [0, {num_items})")
    return truth


def _kept(path: Path, items: Floats, queries: Floats) -> Labels:
    """The exact neighbours, computed once and kept."""
    if not path.exists():
        say(f"exact neighbours of {len(queries):,} queries, once")
        unfinished = path.with_suffix(".tmp.npy")
        np.save(unfinished, exact_neighbours(items, queries, K, "cosine"))
        unfinished.replace(path)
    truth: Labels = np.load(path, allow_pickle=False)
    return truth
