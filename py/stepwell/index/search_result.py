"""What an index answers, and what it says of itself."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from stepwell.index.options import Codes, Metric

Strategy = Literal["graph", "wider_graph", "filtered_graph", "exact"]


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
        coverage: share of the items that were searched, below 1 only where an index of
            several parts is missing some.
    """

    ids: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int32]
    truncated: npt.NDArray[np.bool_]
    num_visited: int
    num_distances: int
    strategy: Strategy
    num_exact: int
    coverage: float = 1.0


@dataclass(frozen=True, slots=True)
class IndexStats:
    """What an index holds.

    Attributes:
        num_items: what a search can return.
        num_deleted: deleted or replaced items that still take part in the graph, until
            they are reclaimed.
        dim: length of each vector.
        metric: how vectors are compared.
        m, ef_construction: as in HnswOptions; 0 for the exact index.
        memory_bytes: vectors, codes, graph and labels.
        space_hash: 32 bytes that name the embedding space.
        num_nodes: places in the graph, used or free; 0 for the exact index.
        num_free: places that the next new items take.
        codes, keep_vectors: as in HnswOptions; "float32" and True for the exact index.
        mapped: the arrays are those of the file still: nothing was written since it was
            opened, and processes share them.
    """

    num_items: int
    num_deleted: int
    dim: int
    metric: Metric
    m: int
    ef_construction: int
    memory_bytes: int
    space_hash: bytes
    num_nodes: int = 0
    num_free: int = 0
    codes: Codes = "float32"
    keep_vectors: bool = True
    mapped: bool = False
