"""Losses of retrieval training."""

import torch
from torch import Tensor
from torch.nn import functional as F


def sampled_softmax_loss(
    logits: Tensor,
    log_sampled: Tensor,
    target_users: Tensor,
    target_columns: Tensor,
    masked: Tensor | None = None,
) -> Tensor:
    """Returns the scalar loss of choosing the targets among sampled candidates.

    Subtracting the log of the probability with which a candidate came into the sample
    (logQ) makes the sampled softmax an estimate of the full one: without it popular
    items, which are sampled most, would be pushed down.

    Args:
        logits: float32 [B, C], B users, C candidates shared by the batch.
        log_sampled: float32 [C], log probability of being among the C.
        target_users, target_columns: int64 [T], the positives.
        masked: bool [B, C], candidates that are no choice of a user (own items).
    Returns:
        The mean over users of the mean over their targets, each user weighted by the
        square root of the targets: a heavy buyer says more, but not all.
    Source: Bengio & Senecal, 2003; Yi et al., RecSys 2019, eq. 4.
    """
    corrected = logits - log_sampled
    if masked is not None:
        corrected = corrected.masked_fill(masked, -1e9)
    chosen = F.log_softmax(corrected, dim=1)[target_users, target_columns]
    num_targets = torch.bincount(target_users, minlength=len(logits)).float()
    weights = num_targets[target_users].rsqrt()
    return -(chosen * weights).sum() / weights.sum()
