"""What the logits of a ranker say of its candidates."""

import numpy as np
import numpy.typing as npt

from stepwell.ops.candidate_extension import load_extension

_native = load_extension()

FloatArray = npt.NDArray[np.float32]


def weigh_objectives(
    logits: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Returns totals float32 [N] and probabilities float32 [N, O].

    A probability is the logistic function of its logit; a total is their weighted sum,
    -infinity where that is not finite: what is broken must never float to the top.

    Args:
        logits: float32 [N, O], row-major.
        weights: float32 [O], of the objectives.
    Raises:
        InvalidArgumentError: another type or shape.
    Concurrency: safe; keeps the GIL. Cost: about 3 us at N = 500, O = 1.
    """
    totals, probabilities = _native.weigh_objectives(logits, weights)
    return totals, probabilities
