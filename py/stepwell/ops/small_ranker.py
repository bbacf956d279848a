"""A ranker of a few thousand weights in one call, without torch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stepwell.ops.candidate_extension import load_extension

_native = load_extension()

FloatArray = npt.NDArray[np.float32]
RowArray = npt.NDArray[np.int64]


class SmallColumn(NamedTuple):
    """A dense column: its place among a candidate's values, whether its logarithm
    (of 1 + the value, not below 1) is taken, and how it is standardised."""

    place: int
    is_log: bool
    mean: float
    inverse_scale: float


class SmallTable(NamedTuple):
    """A table float32 [R, D], row-major, and the place of its sparse column."""

    place: int
    rows: FloatArray


class SmallLayer(NamedTuple):
    """A dense layer: weight float32 [in, out], row-major, and bias float32 [out]."""

    weight: FloatArray
    bias: FloatArray


class SmallRanker:
    """Standardised columns and table rows side by side through dense layers.

    Args:
        columns: in the order of the inputs.
        clip: standardised values are clipped to [-clip, clip].
        tables: behind the columns, in this order.
        layers: at least one; all but the last are followed by a ReLU.

    Raises:
        InvalidArgumentError: another type, shape or place.
    Concurrency: immutable, keeps the GIL. Memory: the arrays are borrowed.
    """

    def __init__(
        self,
        columns: Sequence[SmallColumn],
        clip: float,
        tables: Sequence[SmallTable],
        layers: Sequence[SmallLayer],
    ) -> None:
        self._native = _native.SmallRanker(columns, clip, tables, layers)

    def logits(self, dense: FloatArray, sparse: RowArray) -> FloatArray:
        """Returns float32 [N, O], the last layer's outputs.

        Args:
            dense: float32 [N, F], row-major; a value that is not finite counts as its
                column's mean.
            sparse: int64 [N, T], row-major, rows of the tables.
        Raises:
            InvalidArgumentError: another type or shape, or a row that no table has.
        Cost: about 20 us at N = 120 with layers of 48 and 24.
        """
        logits: FloatArray = self._native.logits(dense, sparse)
        return logits
