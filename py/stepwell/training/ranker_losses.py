"""Losses over the candidates of several queries at once."""

import torch
from torch import Tensor
from torch.nn import functional


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Returns the mean binary cross-entropy of a sample, weighted back to the whole.

    Args:
        logits, labels: float32 [R, O]; labels may be soft, in [0, 1].
        weights: float32 [R], 1 / the chance of being in the sample.
    """
    each = functional.binary_cross_entropy_with_logits(
        logits, labels, reduction="none"
    ).mean(dim=1)
    return (each * weights).sum() / weights.sum()


def listwise(
    scores: Tensor, labels: Tensor, weights: Tensor, queries: Tensor, num_queries: int
) -> Tensor:
    """Returns the mean over queries of the softmax cross-entropy of their lists.

    A query's loss is - sum_i p_i log softmax(s)_i with p = labels / their sum; rows
    that stand for several weigh as many in the softmax. Queries without a label do
    not count.

    Args:
        scores: float32 [R], logits.
        labels: float32 [R], >= 0.
        weights: float32 [R], > 0.
        queries: int64 [R] in [0, num_queries), the query of each row.
    Source: Cao et al., ICML 2007 (ListNet); sampled softmax after Bengio & Senecal.
    """
    lifted = scores + torch.log(weights)
    peak = torch.full((num_queries,), -torch.inf).scatter_reduce(
        0, queries, lifted.detach(), "amax"
    )
    shifted = torch.exp(lifted - peak[queries])
    mass = torch.zeros(num_queries).index_add(0, queries, shifted)
    log_mass = torch.log(mass.clamp(min=1e-30)) + peak
    sums = torch.zeros(num_queries).index_add(0, queries, labels)
    losses = torch.zeros(num_queries).index_add(
        0, queries, labels * (log_mass[queries] - scores)
    )
    counted = sums > 0
    if not bool(counted.any()):
        return scores.sum() * 0.0
    return (losses[counted] / sums[counted]).mean()
