"""The vector of a user that searches the items' index, from a history in one call."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.ops.candidate_extension import load_extension

_native = load_extension()

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
CountArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TowerLayers:
    """The residual layer, float32: [M, D2] and [M] to the hidden units, back by
    [D2, M] and [D2]."""

    hidden_weight: FloatArray
    hidden_bias: FloatArray
    output_weight: FloatArray
    output_bias: FloatArray


class UserVectors:
    """A user tower over N items, applied to histories.

    Args:
        fixed, trained: float32 [N, D1] and [N, D2], row-major.
        layers: what the trained block passes through.
        gain: length of the trained block.
        half_life_seconds: of the history's weights; see `affinity_weights`.

    Raises:
        InvalidArgumentError: another type or shape.
    Concurrency: immutable, keeps the GIL. Memory: the arrays are borrowed.
    """

    def __init__(
        self,
        fixed: FloatArray,
        trained: FloatArray,
        layers: TowerLayers,
        gain: float,
        half_life_seconds: float,
    ) -> None:
        arrays = [
            fixed,
            trained,
            layers.hidden_weight,
            layers.hidden_bias,
            layers.output_weight,
            layers.output_bias,
        ]
        self._native = _native.UserTower(arrays, gain)
        self._half_life_seconds = half_life_seconds

    def of(
        self,
        num_purchases: CountArray,
        times: tuple[IntArray, IntArray],
        rows: IntArray,
        now: int,
    ) -> FloatArray | None:
        """Returns float32 [D1 + D2 + 1]; None when no row is known.

        Args:
            num_purchases: int32 [H], >= 1. This and `times` may lie at any address.
            times: first and last int64 [H], unix seconds.
            rows: int64 [H], each in [-1, N); -1 adds nothing.
            now: unix seconds.
        Raises:
            InvalidArgumentError: another type or length, or a row out of range.
        Cost: O(H (D1 + D2) + M D2), about 8 us at H = 60, D1 + D2 = 63, M = 64.
        """
        vector: FloatArray | None = self._native.vector(
            num_purchases, *times, rows, now, self._half_life_seconds
        )
        return vector
