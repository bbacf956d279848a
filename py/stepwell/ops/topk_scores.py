"""The best K of many scores: exact, total order, nothing broken on top."""

import torch
from torch import Tensor

from stepwell.ops import library

library.load()

_OP = "stepwell::topk_scores"


def topk_scores(scores: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Returns the best min(k, N) scores and their ids, best first.

    The order is total: descending score, ties by lower id, also at the edge of the cut.
    NaN and the infinities rank after every finite score, by lower id, and come out as
    -inf. 0.0 and -0.0 tie.

    Args:
        scores: float32 [N], contiguous. N may be 0, and at most 2^31 - 1.
        ids: int64 [N], contiguous, same device; any numbers, they may repeat.
        k: how many are kept, >= 0; all N when k > N.
    Returns:
        scores float32 [K] and ids int64 [K], K = min(k, N).
    Raises:
        RuntimeError: wrong rank, dtype, size, device, layout or k; names the argument,
            what was expected and what came.
    Gradients: none. Autocast leaves it alone.
    Determinism: the same answer whatever the order of the input.
    Concurrency: safe; releases the GIL; one thread.
    Cost: O(N + K log K) expected, also for sorted scores; about 5 us a call besides.
    Source: quick selection (Hoare, CACM 4(7), 1961) over a buffer of what beats the
        K-th best so far. Differences: partitions pack registers without a branch.
    """
    best_scores, best_ids = torch.ops.stepwell.topk_scores(scores, ids, k)
    return best_scores, best_ids


def _fake(scores: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    kept = torch.sym_min(k, scores.shape[0])  # type: ignore[no-untyped-call]
    return scores.new_empty((kept,)), ids.new_empty((kept,))


library.register_fake(_OP, _fake, {"scores": 1, "ids": 1})
