"""Many best-first lists become one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stepwell.ops.candidate_extension import load_extension

_native = load_extension()

RowArray = npt.NDArray[np.int64]
ScoreArray = npt.NDArray[np.float32]
RankArray = npt.NDArray[np.int16]


class FusedList(NamedTuple):
    """One list: rows int64 [n], unique and best first, and scores float32 [n].

    Attributes:
        weight: its say.
        quota: how many of its first rows have a place for certain.
    """

    rows: RowArray
    scores: ScoreArray
    weight: float
    quota: int


def fuse_ranks(
    lists: Sequence[FusedList],
    rank_offset: float,
    num_kept: int,
    excluded_rows: RowArray,
) -> tuple[RowArray, ScoreArray, RankArray]:
    """Returns the rows of all lists, each once, best first; at most `num_kept`.

    A row's worth is the sum over the lists that have it of weight / (rank_offset +
    rank), ranks from 0; ties go to the lower row. Quotas are filled list by list while
    there is room.

    Args:
        lists: S lists.
        rank_offset: how slowly a list's say falls, > 0.
        num_kept: K >= 0.
        excluded_rows: int64 [X], never returned, and no quota is spent on them.
    Returns:
        rows int64 [n]; scores float32 [n, S], 0 where the list lacks the row; ranks
        int16 [n, S], the place in the list, -1 where it lacks the row.
    Raises:
        InvalidArgumentError: another type or length, a row below 0.
    Concurrency: safe; keeps the GIL.
    Cost: O(M + K log K) in the M rows of all lists, about 20 us at M = 1,500, K = 500.
    Source: Cormack et al., SIGIR 2009 (reciprocal rank fusion).
    """
    rows, scores, ranks = _native.fuse_ranks(
        lists, rank_offset, num_kept, excluded_rows
    )
    return rows, scores, ranks
