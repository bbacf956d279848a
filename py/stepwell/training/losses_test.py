"""The sampled softmax: an estimate of the full one."""

import numpy as np
import torch

from stepwell.training.losses import sampled_softmax_loss
from stepwell.training.negatives import MixedNegatives


def test_with_every_item_sampled_it_is_the_full_softmax() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 7)
    users, columns = torch.arange(3), torch.tensor([2, 0, 6])
    got = sampled_softmax_loss(logits, torch.zeros(7), users, columns)
    want = torch.nn.functional.cross_entropy(logits, columns)
    torch.testing.assert_close(got, want)


def test_a_heavy_user_weighs_by_the_root_of_the_targets() -> None:
    logits = torch.log_softmax(torch.randn(2, 5), 1)
    users, columns = torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0, 1, 2, 3, 4])
    got = sampled_softmax_loss(logits, torch.zeros(5), users, columns)
    heavy, light = logits[0, :4].mean(), logits[1, 4]
    torch.testing.assert_close(got, -(2.0 * heavy + light) / 3.0)


def test_a_masked_candidate_has_no_say_and_no_gradient() -> None:
    logits = torch.randn(1, 4, requires_grad=True)
    masked = torch.tensor([[False, False, True, False]])
    target = torch.tensor([0])
    loss = sampled_softmax_loss(logits, torch.zeros(4), target, target, masked)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad[0, 2] == 0.0
    assert logits.grad[0, 1] > 0.0


def _choice(logits: torch.Tensor, log_sampled: torch.Tensor) -> torch.Tensor:
    """The probabilities that the loss believes in: its gradient, target put back."""
    leaf = logits.clone().requires_grad_()
    target = torch.tensor([0])
    sampled_softmax_loss(leaf, log_sampled, target, target).backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    chosen = leaf.grad[0].clone()
    chosen[0] += 1.0
    return chosen


def test_log_q_makes_the_sampled_gradient_that_of_the_full_softmax() -> None:
    rng = np.random.default_rng(0)
    num_items, rounds = 50, 400
    popularity = 1.0 / np.arange(1, num_items + 1)
    full = torch.randn(1, num_items, generator=torch.Generator().manual_seed(1))
    want = torch.softmax(full, 1)[0]
    sampler = MixedNegatives(popularity, np.zeros(num_items), num_drawn=60)
    corrected, plain = torch.zeros(num_items), torch.zeros(num_items)
    for _ in range(rounds):
        drawn = sampler.sample(np.array([0]), 1, rng)
        rows = torch.from_numpy(drawn.item_rows)
        log_sampled = torch.from_numpy(drawn.log_sampled)
        corrected[rows] += _choice(full[:, rows], log_sampled) / rounds
        plain[rows] += _choice(full[:, rows], torch.zeros(len(rows))) / rounds
    assert (corrected - want).abs().sum() < 0.3 * (plain - want).abs().sum()


def test_every_target_is_among_the_candidates() -> None:
    sampler = MixedNegatives(np.ones(100), np.full(100, 0.01), num_drawn=5)
    targets = np.array([99, 3, 3, 50])
    drawn = sampler.sample(targets, 4, np.random.default_rng(0))
    assert set(targets.tolist()) <= set(drawn.item_rows.tolist())
    assert (np.diff(drawn.item_rows) > 0).all()
    assert (drawn.log_sampled <= 0).all()


def test_draws_follow_popularity_and_say_so() -> None:
    popularity = np.array([8.0, 1.0, 1.0, 0.0])
    sampler = MixedNegatives(popularity, np.zeros(4), num_drawn=4)
    rng = np.random.default_rng(0)
    none = np.zeros(0, np.int64)
    seen = np.zeros(4)
    chance = np.zeros(4)
    for _ in range(3_000):
        drawn = sampler.sample(none, 1, rng)
        seen[drawn.item_rows] += 1 / 3_000
        chance[drawn.item_rows] = np.exp(drawn.log_sampled)
    np.testing.assert_allclose(seen, chance, atol=0.03)
    assert seen[3] == 0.0
