"""What each item of a history says of its user, and what they say together."""

import numpy as np
import numpy.typing as npt

from stepwell.ops.candidate_extension import load_extension

_native = load_extension()

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
CountArray = npt.NDArray[np.int32]


def affinity_weights(
    num_purchases: CountArray,
    first_time: IntArray,
    last_time: IntArray,
    now: int,
    half_life_seconds: float,
) -> FloatArray:
    """Returns float32 [H]: sqrt of the purchases, each decayed from its mean date.

    Args:
        num_purchases: int32 [H], >= 1. All columns may lie at any address.
        first_time, last_time: int64 [H], unix seconds.
        now: unix seconds; later dates count as `now`.
        half_life_seconds: of the decay, > 0.
    Raises:
        InvalidArgumentError: a column of another type or length.
    Concurrency: safe; keeps the GIL. Cost: about 2 us at H = 250.
    """
    weights: FloatArray = _native.affinity_weights(
        num_purchases, first_time, last_time, now, half_life_seconds
    )
    return weights


def repeat_scores(
    num_purchases: CountArray, first_time: IntArray, last_time: IntArray, now: int
) -> FloatArray:
    """Returns float32 [H]: how likely each item is bought again soon.

    The purchases, decayed over the user's own rhythm for the item: an item bought every
    six weeks is still due after six weeks, one bought daily is not. The half-life is
    twice the mean interval, at least 60 days; a single purchase's interval is 60 days.

    Args:
        num_purchases: int32 [H], >= 1. All columns may lie at any address.
        first_time, last_time: int64 [H], unix seconds.
        now: unix seconds.
    Raises:
        InvalidArgumentError: a column of another type or length.
    Concurrency: safe; keeps the GIL. Cost: about 4 us at H = 250.
    """
    scores: FloatArray = _native.repeat_scores(
        num_purchases, first_time, last_time, now
    )
    return scores


def pooled_rows(vectors: FloatArray, rows: IntArray, weights: FloatArray) -> FloatArray:
    """Returns float32 [D]: the sum of the weighted rows.

    Args:
        vectors: float32 [N, D], row-major.
        rows: int64 [H], each in [-1, N); -1 adds nothing.
        weights: float32 [H].
    Raises:
        InvalidArgumentError: another type or shape, or a row out of range.
    Concurrency: safe; keeps the GIL.
    Cost: O(H D), about 8 us at H = 250, D = 64; rows are fetched ahead of their use.
    """
    pooled: FloatArray = _native.pooled_rows(vectors, rows, weights)
    return pooled
