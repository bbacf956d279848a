"""Scores of all items by a weighted history: low rank, neighbours, categories."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.ops.candidate_extension import load_extension

_native = load_extension()

FloatArray = npt.NDArray[np.float32]
CodeArray = npt.NDArray[np.int32]
RowArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CategoryLift:
    """Factors that lift items of the categories a user buys in.

    Attributes:
        codes: int32 [N] >= 0, category of each item.
        lifts: float32 [N], the item's own part of the factor.
        power: of the category's share of the history.
        floor: share that every category has besides.
    """

    codes: CodeArray
    lifts: FloatArray
    power: float
    floor: float


class CoOccurrenceTable:
    """An item-item matrix A Z^T + R over N items, applied to histories.

    Args:
        vectors: A and Z, float32 [N, D] each, row-major; D may be 0.
        neighbours: of R, rows int32 [N, K], -1 pads, and weights float32 [N, K], 0 in
            pads.
        lift: None where items have no categories.

    Raises:
        InvalidArgumentError: another type or shape, a row or a code out of range.
    Concurrency: thread-safe; `best` gives up the GIL.
    Memory: the arrays are borrowed. Besides, a byte for each coordinate of Z, and some
    32 bytes an item to work with for each of as many calls as run at once.
    """

    def __init__(
        self,
        vectors: tuple[FloatArray, FloatArray],
        neighbours: tuple[CodeArray, FloatArray],
        lift: CategoryLift | None,
    ) -> None:
        parts = lift and (lift.codes, lift.lifts, lift.power, lift.floor)
        self._native = _native.CoOccurrence(*vectors, *neighbours, parts)

    def best(
        self, rows: RowArray, weights: FloatArray, limit: int
    ) -> tuple[RowArray, FloatArray]:
        """Returns the `limit` items of the highest positive, finite scores.

        Args:
            rows: int64 [H], each in [-1, N); -1 is skipped.
            weights: float32 [H], what each says of the user.
            limit: items at most, >= 1.
        Returns:
            rows int64 [n] and scores float32 [n], best first, ties by lower row.
        Raises:
            InvalidArgumentError: another type or length, a row or limit out of range.
        Cost: one read of a byte for each of the N D coordinates of Z, which are bounded
            by codes first, and 8 bytes for each of H K neighbours.
        """
        best_rows, best_scores = self._native.best(rows, weights, limit)
        return best_rows, best_scores

    def scores(self, rows: RowArray, weights: FloatArray) -> FloatArray:
        """Returns float32 [N], the score of every item; arguments as of `best`."""
        scores: FloatArray = self._native.scores(rows, weights)
        return scores
