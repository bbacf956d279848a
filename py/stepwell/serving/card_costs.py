"""The measured cost of each tier, from a release's model card."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepwell.base.errors import DataLossError
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.tier_policy import TierCost

MODEL_CARD_FILE = "model_card.json"
DEFAULT_COSTS: Mapping[Tier, TierCost] = {
    Tier.FULL: TierCost(p95_us=10_000, mean_us=7_000, is_live=False),
    Tier.REDUCED: TierCost(p95_us=4_000, mean_us=2_500, is_live=False),
    Tier.POPULAR: TierCost(p95_us=500, mean_us=200, is_live=False),
}
"""What the ladder plans with while neither a card nor a sample says better."""

_MAX_COST_US = 60_000_000


def card_costs(release_dir: Path) -> Mapping[Tier, TierCost]:
    """Returns the cost of every tier as the release's training measured it.

    A release without a card, or with a card that measured nothing of a tier, has the
    default cost there.

    Raises:
        DataLossError: the card is no JSON object or a cost is out of range.
    """
    path = release_dir / MODEL_CARD_FILE
    if not path.exists():
        return DEFAULT_COSTS
    try:
        measured = json.loads(path.read_bytes())["cost_us"]
        return {tier: _cost(measured, tier) for tier in BEST_FIRST}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataLossError(f"{path}: no costs of tiers: {error!r}") from error


def _cost(measured: dict[str, Any], tier: Tier) -> TierCost:
    figures = measured.get(tier.label)
    if not figures or not figures["p95"]:
        return DEFAULT_COSTS[tier]
    mean_us, p95_us = int(figures["mean"]), int(figures["p95"])
    for name, value in (("mean", mean_us), ("p95", p95_us)):
        if not 0 <= value <= _MAX_COST_US:
            raise ValueError(
                f"{tier.label} {name} is {value}, must be in [0, {_MAX_COST_US}]"
            )
    return TierCost(p95_us, mean_us, is_live=False)
