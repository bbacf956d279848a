"""A whole DLRM over the candidates of requests, in one call."""

import torch
from torch import Tensor

from stepwell.ops import library

library.load()

_OP = "stepwell::rank_candidates"
_rank = torch.ops.stepwell.rank_candidates.default


def rank_candidates(
    dense: Tensor,
    item_rows: Tensor,
    user_rows: Tensor,
    offsets: Tensor,
    weights: Tensor,
    plan: Tensor,
    items: Tensor,
    num_objectives: int,
    clip: float,
) -> Tensor:
    """Returns the logits of the candidates of R requests.

    Args:
        dense: float32 [N, F], contiguous, raw columns; a value that is not finite
            counts as its column's mean.
        item_rows: int64 [N], each candidate's record.
        user_rows: int64 [R], each request's row of the table of users; of no meaning
            where the model has none.
        offsets: int64 [R + 1], from 0 to N, never falling: request r has the candidates
            from offsets[r] to offsets[r + 1].
        weights: uint8 [bytes], `plan`: int64 [numbers]: the packed model, as
            `ranker_plan` makes them. Every call checks one against the other.
        items: uint8 [bytes], the items' records end to end, as `item_records` makes
            them.
        num_objectives: O, as the plan has it.
        clip: standardised columns are clipped to [-clip, clip].
    Returns:
        float32 [N, O].
    Raises:
        RuntimeError: wrong rank, dtype, size or layout, a row out of range, or a plan
            that does not fit its weights; names the argument and what came.
    Gradients: none. CPU only.
    Determinism: a candidate's bits do not depend on the other candidates.
    Concurrency: safe; releases the GIL; one thread.
    Cost: about 5 us a call beside the layers' multiply-adds.
    """
    out: Tensor = _rank(
        dense, item_rows, user_rows, offsets, weights, plan, items, num_objectives, clip
    )
    return out


def _fake(
    dense: Tensor,
    item_rows: Tensor,
    user_rows: Tensor,
    offsets: Tensor,
    weights: Tensor,
    plan: Tensor,
    items: Tensor,
    num_objectives: int,
    clip: float,
) -> Tensor:
    return dense.new_empty((dense.shape[0], num_objectives))


_RANKS = {
    "dense": 2,
    "item_rows": 1,
    "user_rows": 1,
    "offsets": 1,
    "weights": 1,
    "plan": 1,
    "items": 1,
}
library.register_fake(_OP, _fake, _RANKS)
