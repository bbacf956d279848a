"""How much each item of a history says about its user: training and serving agree."""

import numpy as np
import numpy.typing as npt

from stepwell.ops import history_scores

AFFINITY_HALF_LIFE_SECONDS = 180 * 86_400
"""Half-life of an item's say in what else the user might like: half a year."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


def affinity_weights(
    num_purchases: npt.NDArray[np.int32],
    first_time: IntArray,
    last_time: IntArray,
    now: int,
) -> FloatArray:
    """Returns float32 [H]: sqrt of the purchases, each decayed from its mean date.

    The mean date is the middle of first and last purchase, so that the three columns of
    a UserHistory are enough; on a year of groceries that is level with decaying every
    event (new R@500 0.2355 against 0.2352). The square root keeps weekly milk from
    drowning everything else.

    Args:
        num_purchases: int32 [H], >= 1.
        first_time, last_time: int64 [H], unix seconds.
        now: unix seconds; later times than `now` count as `now`.
    """
    return history_scores.affinity_weights(
        num_purchases, first_time, last_time, now, AFFINITY_HALF_LIFE_SECONDS
    )
