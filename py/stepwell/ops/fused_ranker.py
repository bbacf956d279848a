"""A whole DLRM over the candidates of one request, from features to scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.ops.candidate_extension import load_extension

_native = load_extension()

FloatArray = npt.NDArray[np.float32]
RowArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PackedRanker:
    """A ranker as `ranker_plan` and `item_records` pack it.

    Attributes:
        weights: uint8 [bytes]. plan: int64 [numbers]. items: uint8 [bytes].
        clip: standardised columns are clipped to [-clip, clip].
    """

    weights: npt.NDArray[np.uint8]
    plan: RowArray
    items: npt.NDArray[np.uint8]
    clip: float


class FusedRanker:
    """What `rank_candidates` computes, for one request at a time and without torch.

    The plan is checked once, here. A dispatch by torch, its tensors and the steps
    around it cost a request some 0.1 ms where it finds the caches cold.

    Args:
        packed: the model and its items.
        columns: of each of the model's dense inputs, its place in a candidate's values.
        objective_weights: float32 [O].

    Raises:
        InvalidArgumentError: a plan that does not fit its weights, another type or
            shape.
    Concurrency: immutable; `score` gives up the GIL. Memory: the arrays are borrowed.
    """

    def __init__(
        self,
        packed: PackedRanker,
        columns: Sequence[int],
        objective_weights: FloatArray,
    ) -> None:
        self._native = _native.FusedRanker(
            packed.weights,
            packed.plan,
            packed.items,
            packed.clip,
            list(columns),
            objective_weights,
        )

    def score(
        self, dense: FloatArray, item_rows: RowArray, user_row: int
    ) -> tuple[FloatArray, FloatArray]:
        """Returns totals float32 [N] and probabilities float32 [N, O].

        Those of `weigh_objectives` over the logits of `rank_candidates`, bit for bit.

        Args:
            dense: float32 [N, F], row-major, raw values.
            item_rows: int64 [N], each candidate's record.
            user_row: of the table of users; any where the model has none.
        Raises:
            InvalidArgumentError: another type or shape, a row out of range.
        Cost: that of the layers' multiply-adds, and about 5 us.
        """
        totals, probabilities = self._native.score(dense, item_rows, user_row)
        return totals, probabilities
