"""One index cut into several, each a file of its own."""

from collections.abc import Callable, Sequence
from os import PathLike

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import InvalidArgumentError, check_range
from stepwell.index.ann_index import HnswIndex
from stepwell.index.options import HnswOptions

Ids = npt.NDArray[np.int64]
PartOf = Callable[[Ids], Ids]
"""int64 [N] ids -> int64 [N], the part of each, from 0."""


def split_index(
    index: HnswIndex,
    part_of: PartOf,
    paths: Sequence[str | PathLike[str]],
    *,
    num_threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, ...]:
    """Writes the items of each part into a new index, one file after the other.

    Each part is built anew with the index's own metric, M, ef_construction, codes and
    embedding space. Of an index without kept vectors the parts are built from what its
    codes stand for: a second rounding.

    Args:
        index: left as it is; must not be written to meanwhile.
        part_of: the part of each id, 0 <= part < len(paths).
        paths: a file for each part; it appears whole or not at all.
        num_threads: of the builds; with one the files are the same each time.
        progress: told (items done, items in all).
    Returns:
        Items of each part.
    Raises:
        InvalidArgumentError: there are no paths, or `part_of` gives a part outside.
    Cost: that of building the index, and the memory of the largest part.
    """
    check_range("number of parts", len(paths), 1, 1 << 20)
    ids = index.ids()
    parts = part_of(ids)
    if ids.size and not (parts.min() >= 0 and parts.max() < len(paths)):
        outside = ids[(parts < 0) | (parts >= len(paths))][0]
        raise InvalidArgumentError(
            f"id {outside} is of no part, must be in [0, {len(paths)})", "part_of"
        )
    stats = index.stats()
    options = HnswOptions(
        metric=stats.metric,
        m=stats.m,
        ef_construction=stats.ef_construction,
        num_threads=num_threads,
        space_hash=stats.space_hash,
        codes=stats.codes,
        keep_vectors=stats.keep_vectors,
        background=False,
    )
    counts: list[int] = []
    for number, path in enumerate(paths):
        own = ids[parts == number]
        vectors = index.vectors(own)
        done = sum(counts)

        def tell(part_done: int, _: int, done: int = done) -> None:
            if progress is not None:
                progress(done + part_done, len(ids))

        HnswIndex.build(vectors, own, options, progress=tell).save(path)
        counts.append(len(own))
    return tuple(counts)
