"""The model card: what every tier of a release is worth, and what it costs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.training.evaluate import QualityReport

MODEL_CARD_NAME = "model_card.json"
_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class TierFigures:
    """One way to be served: what it is worth, and microseconds of every request."""

    quality: QualityReport
    cost_us: npt.NDArray[np.int64]


def cost_summary(cost_us: npt.NDArray[np.int64]) -> dict[str, int]:
    """Returns mean, p50, p95 and p99 in whole microseconds; zeros for no sample."""
    if not len(cost_us):
        return {"mean": 0, "p50": 0, "p95": 0, "p99": 0}
    p50, p95, p99 = np.percentile(cost_us, [50, 95, 99])
    return {
        "mean": int(cost_us.mean()),
        "p50": int(p50),
        "p95": int(p95),
        "p99": int(p99),
    }


def write_model_card(
    folder: Path, tiers: Mapping[str, TierFigures], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Writes `model_card.json`; returns its content.

    Args:
        folder: of the release's artifacts.
        tiers: by name: "full", "full_diverse" (re-ranked for diversity), "reduced",
            "popular" and "popular_cached" (the user's own last slate, served again).
        facts: what else is to be said: data, cuts, calibration, machine, seconds.
    """
    content = {
        "format_version": _FORMAT_VERSION,
        "quality": {name: tier.quality.summary() for name, tier in tiers.items()},
        "cost_us": {name: cost_summary(tier.cost_us) for name, tier in tiers.items()},
        **facts,
    }
    if {"full", "reduced"} <= tiers.keys():
        content["reduced"] = reduced_to_full(tiers["full"], tiers["reduced"])
    content = {name: _finite(value) for name, value in content.items()}
    text = json.dumps(content, indent=1, allow_nan=False)
    (folder / MODEL_CARD_NAME).write_text(text + "\n")
    return content


def reduced_to_full(full: TierFigures, reduced: TierFigures) -> dict[str, float]:
    """Returns what the reduced model keeps and costs, as parts of the full one's.

    NDCG@10 over all targets, and the median of a request; NaN where the full model's
    is nothing. ./stepwell publish refuses by these.
    """
    ndcg = [tier.quality.summary()["ndcg_at_10"] for tier in (full, reduced)]
    cost = [cost_summary(tier.cost_us)["p50"] for tier in (full, reduced)]
    return {
        "ndcg_kept": ndcg[1] / ndcg[0] if ndcg[0] else np.nan,
        "cost": cost[1] / cost[0] if cost[0] else np.nan,
    }


def _finite(value: Any) -> Any:
    """JSON has no NaN: what could not be measured is null."""
    if isinstance(value, Mapping):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
