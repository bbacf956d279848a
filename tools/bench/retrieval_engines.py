"""Graph indexes behind one face, so that the benchmark treats them alike.

Each is used as its own documents say it is fastest: rows added in one call, batches
searched in one call, threads set by the engine's own means. Unit vectors are compared
by inner product, which costs no peer a norm. All have the same M (on level 0 twice
that) and ef_construction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bench.retrieval_figures import OURS, Floats, Labels
from stepwell.index.ann_index import HnswIndex
from stepwell.index.options import Codes, HnswOptions, Metric


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How an engine is built.

    Attributes:
        metric: under "cosine" the vectors have unit norm already.
        m: M of the paper; usearch's connectivity.
        ef_construction: usearch's expansion_add.
        num_threads: of the build; searches always have one.
    """

    metric: Metric = "cosine"
    m: int = 32
    ef_construction: int = 200
    num_threads: int = 2

    @property
    def text(self) -> str:
        """M and ef_construction for a row."""
        return f"M {self.m}, ef_construction {self.ef_construction}"


class Engine(Protocol):
    """A built index, searched by one thread."""

    def set_width(self, ef: int) -> None:
        """Sets ef_search of the searches that follow."""
        ...

    def search(self, queries: Floats, k: int) -> Labels:
        """Returns ids [B, k], -1 where there is none."""
        ...


Build = Callable[[Floats, BuildOptions], Engine]


class Stepwell:
    """Our HnswIndex through its Python face."""

    def __init__(self, index: HnswIndex) -> None:
        self.index = index
        self._ef = 64

    def set_width(self, ef: int) -> None:
        """See Engine."""
        self._ef = ef

    def search(self, queries: Floats, k: int) -> Labels:
        """See Engine."""
        return self.index.search(queries, k, ef_search=self._ef).ids


class Hnswlib:
    """hnswlib's own binding, which pip compiles for this very machine."""

    def __init__(self, vectors: Floats, options: BuildOptions) -> None:
        import hnswlib

        space = "l2" if options.metric == "l2" else "ip"
        self.index = hnswlib.Index(space, vectors.shape[1])
        self.index.init_index(
            len(vectors), M=options.m, ef_construction=options.ef_construction
        )
        ids = np.arange(len(vectors))
        self.index.add_items(vectors, ids, num_threads=options.num_threads)
        self.index.set_num_threads(1)

    def set_width(self, ef: int) -> None:
        """See Engine."""
        self.index.set_ef(ef)

    def search(self, queries: Floats, k: int) -> Labels:
        """See Engine."""
        labels: Labels = self.index.knn_query(queries, k, num_threads=1)[0]
        return labels.view(np.int64)


class Faiss:
    """faiss's IndexHNSWFlat, or with `scalar_bits` = 8 its IndexHNSWSQ.

    faiss chooses its instructions when it is loaded.
    """

    def __init__(
        self, vectors: Floats, options: BuildOptions, scalar_bits: int = 32
    ) -> None:
        import faiss

        by = faiss.METRIC_L2 if options.metric == "l2" else faiss.METRIC_INNER_PRODUCT
        dim = vectors.shape[1]
        faiss.omp_set_num_threads(options.num_threads)
        if scalar_bits == 8:
            kind = faiss.ScalarQuantizer.QT_8bit
            self.index: Any = faiss.IndexHNSWSQ(dim, kind, options.m, by)  # type: ignore[arg-type]
        else:
            self.index = faiss.IndexHNSWFlat(dim, options.m, by)
        self.index.hnsw.efConstruction = options.ef_construction
        if scalar_bits == 8:
            self.index.train(vectors)
        self.index.add(vectors)
        faiss.omp_set_num_threads(1)

    def set_width(self, ef: int) -> None:
        """See Engine."""
        self.index.hnsw.efSearch = ef

    def search(self, queries: Floats, k: int) -> Labels:
        """See Engine."""
        return np.asarray(self.index.search(queries, k)[1])


class Usearch:
    """usearch, vectors kept as `dtype`: "f32", or "i8" for its quantised form."""

    def __init__(
        self, vectors: Floats, options: BuildOptions, dtype: str = "f32"
    ) -> None:
        from usearch.index import Index

        metric = "l2sq" if options.metric == "l2" else "ip"
        if dtype == "i8" and options.metric == "cosine":
            metric = "cos"  # in int8 it finds a little more than "ip" does
        self.index: Any = Index(
            ndim=vectors.shape[1],
            metric=metric,
            dtype=dtype,
            connectivity=options.m,
            expansion_add=options.ef_construction,
        )
        ids = np.arange(len(vectors))
        self.index.add(ids, vectors, threads=options.num_threads)

    def set_width(self, ef: int) -> None:
        """See Engine."""
        self.index.expansion_search = ef

    def search(self, queries: Floats, k: int) -> Labels:
        """See Engine."""
        keys = self.index.search(queries, k, threads=1).keys
        return np.asarray(keys, np.int64).reshape(len(queries), k)


def stepwell_of(engines: Mapping[str, Engine]) -> Stepwell:
    """Returns ours among the engines."""
    ours = engines[OURS]
    if not isinstance(ours, Stepwell):
        raise TypeError(f"{OURS} is a {type(ours).__name__}")
    return ours


def build_stepwell(
    vectors: Floats,
    options: BuildOptions,
    codes: Codes = "int8",
    keep_vectors: bool = True,
) -> Stepwell:
    """Builds ours; int8 codes with exact re-scoring unless said otherwise."""
    own = hnsw_options(options, codes, keep_vectors)
    return Stepwell(HnswIndex.build(vectors, np.arange(len(vectors)), own))


def hnsw_options(
    options: BuildOptions, codes: Codes = "int8", keep_vectors: bool = True
) -> HnswOptions:
    """Returns the options of our index that mean the same."""
    return HnswOptions(
        metric=options.metric,
        m=options.m,
        ef_construction=options.ef_construction,
        num_threads=options.num_threads,
        codes=codes,
        keep_vectors=keep_vectors,
    )


CONTENDERS: dict[str, Build] = {
    OURS: build_stepwell,
    "hnswlib": Hnswlib,
    "faiss": Faiss,
    "usearch": Usearch,
}
"""Those that a bar compares: ours, and each peer in float32."""

INFORMING: dict[str, Build] = {
    "stepwell float32": lambda v, o: build_stepwell(v, o, "float32"),
    "stepwell bfloat16": lambda v, o: build_stepwell(v, o, "bfloat16"),
    "stepwell int8 only": lambda v, o: build_stepwell(v, o, keep_vectors=False),
    "faiss SQ8": lambda v, o: Faiss(v, o, scalar_bits=8),
    "usearch i8": lambda v, o: Usearch(v, o, dtype="i8"),
}
"""Those that only inform: our other codes, the peers' quantised forms."""
