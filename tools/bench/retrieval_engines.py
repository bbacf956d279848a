"""Four graph indexes behind one face, so that a benchmark treats them alike.

All compare unit vectors by inner product in float32, with the same M and
ef_construction.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.index.ann_index import HnswIndex, HnswOptions

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Search = Callable[[Floats, int, int], Labels]
"""(queries [B, D], k, ef_search) -> ids [B, k]."""
Build = Callable[[Floats, int, int], Search]
"""(vectors [N, D], M, ef_construction) -> Search. One thread."""


def build_stepwell(vectors: Floats, m: int, ef_construction: int) -> Search:
    """Our HnswIndex through its Python face."""
    options = HnswOptions("cosine", m, ef_construction)
    index = HnswIndex.build(vectors, np.arange(len(vectors)), options)

    def search(queries: Floats, k: int, ef_search: int) -> Labels:
        return index.search(queries, k, ef_search=ef_search).ids

    return search


def build_hnswlib(vectors: Floats, m: int, ef_construction: int) -> Search:
    """hnswlib's own binding, compiled for this machine by pip."""
    import hnswlib

    index = hnswlib.Index("cosine", vectors.shape[1])
    index.init_index(len(vectors), M=m, ef_construction=ef_construction)
    index.set_num_threads(1)
    index.add_items(vectors, np.arange(len(vectors)), num_threads=1)

    def search(queries: Floats, k: int, ef_search: int) -> Labels:
        index.set_ef(ef_search)
        labels, _ = index.knn_query(queries, k, num_threads=1)
        return np.asarray(labels, np.int64)

    return search


def build_faiss(vectors: Floats, m: int, ef_construction: int) -> Search:
    """faiss IndexHNSWFlat with its run-time choice of instructions."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(vectors.shape[1], m, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = ef_construction
    index.add(vectors)

    def search(queries: Floats, k: int, ef_search: int) -> Labels:
        index.hnsw.efSearch = ef_search
        return np.asarray(index.search(queries, k)[1])

    return search


def build_usearch(vectors: Floats, m: int, ef_construction: int) -> Search:
    """usearch in float32."""
    from usearch.index import Index

    index: Any = Index(
        ndim=vectors.shape[1],
        metric="ip",
        dtype="f32",
        connectivity=m,
        expansion_add=ef_construction,
    )
    index.add(np.arange(len(vectors)), vectors, threads=1)

    def search(queries: Floats, k: int, ef_search: int) -> Labels:
        index.expansion_search = ef_search
        keys = index.search(queries, k, threads=1).keys
        return np.asarray(keys, np.int64).reshape(len(queries), k)

    return search


OURS = "stepwell"
ENGINES: dict[str, Build] = {
    OURS: build_stepwell,
    "hnswlib": build_hnswlib,
    "faiss": build_faiss,
    "usearch": build_usearch,
}
