"""Conformance cases of the top-K op."""

import torch

from stepwell.ops import topk_scores  # noqa: F401  registers what is tested
from stepwell.ops.conformance_cases import Arguments, OpCase, random_floats


def _scores(batch: int) -> Arguments:
    return random_floats(batch), torch.arange(batch), 5


CASES = [
    OpCase(name="topk_scores", arguments=_scores, batch_dims={"scores": 0, "ids": 0})
]
