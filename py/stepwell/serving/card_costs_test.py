"""Costs from a model card."""

import json
from pathlib import Path

import pytest

from stepwell.base.errors import DataLossError
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import TierCost
from stepwell.serving.card_costs import DEFAULT_COSTS, MODEL_CARD_FILE, card_costs


def _write(folder: Path, card: object) -> None:
    (folder / MODEL_CARD_FILE).write_text(json.dumps(card))


def test_takes_mean_and_p95_of_each_tier(tmp_path: Path) -> None:
    full = {"mean": 5_000, "p50": 4_000, "p95": 9_000, "p99": 11_000}
    _write(tmp_path, {"cost_us": {"full": full, "full_diverse": full}})
    costs = card_costs(tmp_path)
    assert costs[Tier.FULL] == TierCost(9_000, 5_000, is_live=False)
    assert costs[Tier.REDUCED] == DEFAULT_COSTS[Tier.REDUCED]


def test_a_tier_that_was_not_measured_has_the_default(tmp_path: Path) -> None:
    nothing = {"mean": 0, "p50": 0, "p95": 0, "p99": 0}
    _write(tmp_path, {"cost_us": {"popular": nothing}})
    assert card_costs(tmp_path) == DEFAULT_COSTS


def test_a_release_without_a_card_has_the_defaults(tmp_path: Path) -> None:
    assert card_costs(tmp_path) == DEFAULT_COSTS


@pytest.mark.parametrize(
    "card",
    [
        [],
        {},
        {"cost_us": 5},
        {"cost_us": {"full": {"p95": 5}}},
        {"cost_us": {"full": {"p95": -5, "mean": 1}}},
        {"cost_us": {"full": {"p95": 10**9, "mean": 1}}},
    ],
)
def test_refuses_a_card_that_is_none(tmp_path: Path, card: object) -> None:
    _write(tmp_path, card)
    with pytest.raises(DataLossError, match="no costs of tiers"):
        card_costs(tmp_path)
