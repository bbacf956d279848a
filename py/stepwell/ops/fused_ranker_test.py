"""The ranker of one request against the operator of many, and what it refuses."""

from typing import Any

import numpy as np
import pytest
import torch

from stepwell.base.errors import InvalidArgumentError
from stepwell.ops.conformance_ranker import CASES
from stepwell.ops.fused_ranker import FusedRanker, PackedRanker
from stepwell.ops.objectives import weigh_objectives

CLIP = 6.0
WEIGHTS = np.array([1.0, 0.5], np.float32)
PLACES = [6, 1, 3, 0, 4]
"""Of the model's five columns among seven."""


def _packed(**changed: Any) -> PackedRanker:
    weights, plan, items = (tensor.numpy() for tensor in _arguments()[4:7])
    arrays = {"weights": weights, "plan": plan, "items": items} | changed
    return PackedRanker(**arrays, clip=CLIP)


def _arguments(num_candidates: int = 9) -> Any:
    return CASES[0].arguments(num_candidates)


def _ranker() -> FusedRanker:
    return FusedRanker(_packed(), PLACES, WEIGHTS)


def _wide(dense: torch.Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """The model's columns among others, which are no numbers."""
    wide = np.full((len(dense), 7), np.nan, np.float32)
    wide[:, PLACES] = dense.numpy()
    return wide


@pytest.mark.parametrize("num_candidates", [0, 1, 9, 60])
def test_has_the_bits_of_the_operator(num_candidates: int) -> None:
    dense, rows, _, _, *packed = _arguments(num_candidates)
    for user in (0, 2):
        ends = torch.tensor([0, num_candidates])
        logits = torch.ops.stepwell.rank_candidates(
            dense, rows, torch.tensor([user]), ends, *packed
        )
        want = weigh_objectives(logits.numpy(), WEIGHTS)
        got = _ranker().score(_wide(dense), rows.numpy(), user)
        np.testing.assert_array_equal(got[0], want[0])
        np.testing.assert_array_equal(got[1], want[1])


@pytest.mark.parametrize(
    ("row", "user", "message"),
    [
        (11, 0, r"item_rows is 11, must be in \[0, 10\]"),
        (-1, 0, "item_rows is -1"),
        (0, 3, r"user_row is 3, must be in \[0, 2\]"),
        (0, -1, "user_row is -1"),
    ],
)
def test_a_row_out_of_range_is_refused(row: int, user: int, message: str) -> None:
    dense = np.zeros((1, 7), np.float32)
    with pytest.raises(InvalidArgumentError, match=message):
        _ranker().score(dense, np.array([row]), user)


def test_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="column is 6"):
        _ranker().score(np.zeros((1, 6), np.float32), np.array([0]), 0)
    with pytest.raises(InvalidArgumentError, match="columns is 4"):
        FusedRanker(_packed(), PLACES[:4], WEIGHTS)


def test_parts_that_do_not_fit_each_other_are_refused() -> None:
    packed = _packed()
    bad: dict[str, dict[str, Any]] = {
        "more are needed": {"plan": packed.plan[:-1].copy()},
        "beyond the": {"weights": packed.weights[:64].copy()},
        "must be a multiple of": {"items": packed.items[:-1].copy()},
    }
    for message, changed in bad.items():
        with pytest.raises(InvalidArgumentError, match=message):
            FusedRanker(_packed(**changed), PLACES, WEIGHTS)
    with pytest.raises(InvalidArgumentError, match="objective_weights has shape"):
        FusedRanker(packed, PLACES, WEIGHTS[:1])
