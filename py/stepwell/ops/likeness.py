"""How alike a few items are, and a choice among them that is not all alike."""

import numpy as np
import numpy.typing as npt

from stepwell.ops.candidate_extension import load_extension

_native = load_extension()

FloatArray = npt.NDArray[np.float32]


def share_of_equal_codes(codes: npt.NDArray[np.int32], unknown: int) -> FloatArray:
    """Returns float32 [P, P]: the share of columns in which two items are equal.

    Args:
        codes: int32 [P, C], row-major.
        unknown: the code that resembles nothing, not even itself.
    Raises:
        InvalidArgumentError: another type or shape.
    Concurrency: safe; keeps the GIL. Cost: O(P^2 C), about 10 us at P = 100, C = 6.
    """
    likeness: FloatArray = _native.share_of_equal_codes(codes, unknown)
    return likeness


def choose_diverse(
    relevance: npt.NDArray[np.float64],
    likeness: FloatArray,
    weight: float,
    num_chosen: int,
) -> npt.NDArray[np.int64]:
    """Returns int64 [num_chosen], positions in the order in which they are chosen.

    Each step takes the greatest `(1 - weight) * relevance - weight * max(likeness to
    the chosen)`, ties by lower position.

    Args:
        relevance: float64 [P], finite.
        likeness: float32 [P, P] >= 0.
        weight: of novelty, in [0, 1].
        num_chosen: 0 <= num_chosen <= P.
    Raises:
        InvalidArgumentError: another type or shape, a number out of range.
    Concurrency: safe; keeps the GIL. Cost: O(P num_chosen), about 3 us at 100 and 10.
    Source: Carbonell & Goldstein, SIGIR 1998.
    """
    chosen: npt.NDArray[np.int64] = _native.choose_diverse(
        relevance, likeness, weight, num_chosen
    )
    return chosen
