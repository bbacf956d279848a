"""How an index compares, codes and is built."""

from dataclasses import dataclass
from typing import Literal

Metric = Literal["cosine", "inner_product", "l2"]
Codes = Literal["float32", "bfloat16", "int8"]

NO_SPACE_HASH = bytes(32)


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

    The same three numbers under the names and defaults of each library:

        here                   hnswlib              faiss                 usearch
        m = 16                 M = 16               M = 32                connectivity
                                                                          = 16
        ef_construction = 200  ef_construction      efConstruction = 40   expansion_add
                               = 200                                      = 128
        ef_search = 64         ef = 10              efSearch = 16         expansion_
        (a call's argument)                                               search = 64

    Levels and links are as in hnswlib: level 0 has 2 m links, so the same numbers mean
    the same graph. `codes` is what faiss puts into the type of the index
    (IndexHNSWFlat, IndexHNSWSQ with IndexRefineFlat over it) and usearch into `dtype`.

    Attributes:
        metric, space_hash: as in FlatOptions. hnswlib's spaces are "cosine", "ip" and
            "l2"; its distances are 1 - q.x and |q - x|^2, the scores here q.x and
            -|q - x|^2.
        m: links of a node above level 0, twice that on it, 2..128. M in the paper.
        ef_construction: width of the search for a new item's neighbours, 1..10_000; a
            quarter more is walked over int8 codes, which confuse near neighbours.
        seed: of the items' levels.
        num_threads: of build and upsert, 1..64; with one the graph is the same each
            time.
        codes: what the graph is walked over. "int8" has a quarter of the bytes of
            "float32" and is the fastest, "bfloat16" half of them.
        keep_vectors: whether float32 vectors stay beside int8 or bfloat16 codes, so
            that the best candidates are scored anew, exactly. Without them scores have
            the error of the codes and memory is least.
        int8_limit: largest magnitude that an int8 code covers, in the index's vectors
            (for cosine those of unit norm); larger coordinates are clipped. 0 measures
            the vectors of `build`, and anew when the index grows.
        capacity: items that get their memory at once; more make the index grow, which
            copies it. 0 leaves room for an eighth more than are built.
        background: deleted items are reclaimed by a thread of the index; else by
            `reclaim` only.
    """

    metric: Metric = "cosine"
    m: int = 16
    ef_construction: int = 200
    seed: int = 0
    num_threads: int = 1
    space_hash: bytes = NO_SPACE_HASH
    codes: Codes = "int8"
    keep_vectors: bool = True
    int8_limit: float = 0.0
    capacity: int = 0
    background: bool = True
