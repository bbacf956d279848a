"""topk_scores on CUDA against a sort of its definition.

How to run it on a GPU machine: see embedding_test.py in this folder.
"""

import math

import pytest
import torch
from torch import Tensor

from gpu.device import moved, needs_cuda_ops, random_floats
from stepwell.ops.topk_scores import topk_scores

pytestmark = needs_cuda_ops


def reference(scores: Tensor, ids: Tensor, k: int) -> tuple[list[float], list[int]]:
    pairs = zip(scores.tolist(), ids.tolist(), strict=True)
    finite = [(-s if math.isfinite(s) else math.inf, i) for s, i in pairs]
    best = sorted(finite)[:k]
    return [-score for score, _ in best], [number for _, number in best]


def assert_best(scores: Tensor, ids: Tensor, k: int) -> None:
    best_scores, best_ids = topk_scores(moved(scores), moved(ids), k)
    expected_scores, expected_ids = reference(scores, ids, k)
    assert best_scores.tolist() == expected_scores
    assert best_ids.tolist() == expected_ids


@pytest.mark.parametrize("count", [0, 1, 31, 800, 5000])
@pytest.mark.parametrize("k", [0, 1, 7, 100, 5000])
def test_the_best_come_first(count: int, k: int) -> None:
    scores = random_floats(count, seed=count)
    ids = torch.randperm(count, generator=torch.Generator().manual_seed(k)) - 5
    assert_best(scores, ids, k)


@pytest.mark.parametrize("k", [1, 50, 299])
def test_equal_scores_are_told_apart_by_id_and_equal_ids_stay(k: int) -> None:
    random = torch.Generator().manual_seed(0)
    scores = torch.randint(-2, 3, (300,), generator=random).float()
    scores[scores == 0] *= -1  # -0 ties with 0
    ids = torch.randint(-40, 40, (300,), generator=random)
    assert_best(scores, ids, k)


def test_scores_that_are_not_finite_sink() -> None:
    scores = random_floats(200)
    scores[::3] = torch.nan
    scores[1::9] = torch.inf
    scores[2::9] = -torch.inf
    scores[4] = torch.finfo(torch.float32).min
    assert_best(scores, torch.arange(200).flip(0) * 2**40, 200)


# Powers of two, around 48 KiB of keys and past what sorts in shared memory.
@pytest.mark.parametrize("k", [2048, 3000, 4096, 8192, 8500])
def test_sorts_whatever_memory_the_keys_take(k: int) -> None:
    scores = random_floats(9000)
    assert_best(scores, torch.arange(9000), k)
