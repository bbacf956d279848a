"""Losses against plain loops in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.training.ranker_losses import listwise, weighted_cross_entropy


def _listwise_by_loop(
    scores: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    queries: torch.Tensor,
) -> float:
    losses = []
    for query in torch.as_tensor(np.unique(queries.numpy())):
        own = queries == query
        s, y, w = (t[own].double().numpy() for t in (scores, labels, weights))
        if y.sum() == 0:
            continue
        log_mass = np.log((w * np.exp(s)).sum())
        losses.append((y / y.sum() * (log_mass - s)).sum())
    return float(np.mean(losses)) if losses else 0.0


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), num_queries=st.integers(1, 6))
def test_listwise_equals_its_definition(seed: int, num_queries: int) -> None:
    rng = np.random.default_rng(seed)
    queries = torch.from_numpy(rng.integers(0, num_queries, 40))
    scores = torch.from_numpy(rng.normal(0, 4, 40).astype(np.float32))
    labels = torch.from_numpy((rng.random(40) < 0.2).astype(np.float32))
    weights = torch.from_numpy(rng.uniform(1, 5, 40).astype(np.float32))
    ours = listwise(scores, labels, weights, queries, num_queries)
    expected = _listwise_by_loop(scores, labels, weights, queries)
    assert ours.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_listwise_survives_large_scores() -> None:
    scores = torch.tensor([1e4, -1e4, 0.0], requires_grad=True)
    loss = listwise(
        scores, torch.tensor([0.0, 1.0, 0.0]), torch.ones(3), torch.zeros(3).long(), 1
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


def test_listwise_without_labels_is_zero_with_a_gradient() -> None:
    scores = torch.zeros(3, requires_grad=True)
    loss = listwise(
        scores, torch.zeros(3), torch.ones(3), torch.zeros(3).long(), num_queries=2
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0


def test_cross_entropy_weighs_a_sample_back_to_the_whole() -> None:
    logits = torch.tensor([[0.5], [-1.0], [-1.0], [-1.0]])
    labels = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    whole = weighted_cross_entropy(logits, labels, torch.ones(4))
    sample = weighted_cross_entropy(logits[:2], labels[:2], torch.tensor([1.0, 3.0]))
    assert sample.item() == pytest.approx(whole.item())
