"""Is a release's reduced model worth having? Asked before it is published.

The tier REDUCED is what a busy server falls back to. One that keeps little of the
quality, or saves little of the cost, makes a busy server slow or useless, and is found
out only when there is no time for it.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
)

MODEL_CARD_NAME = "model_card.json"
_QUALITY, _COST = "ndcg_at_10", "p50"


@dataclass(frozen=True, slots=True)
class ReducedLimits:
    """What a reduced model must keep, and may cost, as parts of the full one's.

    Attributes:
        min_ndcg_kept: of NDCG@10 over all targets, in [0, 1].
        max_cost: of the median time of a request, in [0, 100].
    """

    min_ndcg_kept: float = 0.90
    max_cost: float = 0.40

    def __post_init__(self) -> None:
        for name, high in (("min_ndcg_kept", 1.0), ("max_cost", 100.0)):
            value = getattr(self, name)
            if not 0 <= value <= high:
                raise InvalidArgumentError(
                    f"{name} is {value}, must be in [0, {high:g}]", name
                )


@dataclass(frozen=True, slots=True)
class ReducedFigures:
    """What a model card says of the reduced model; None is not measured.

    Attributes:
        ndcg_kept: the reduced model's NDCG@10 over the full one's.
        cost: median microseconds of a request, the reduced model's over the full
            one's. The median, for a card is made beside whatever else a machine does.
    """

    ndcg_kept: float | None = None
    cost: float | None = None

    def describe(self) -> str:
        """Returns one line for people."""
        if self.ndcg_kept is None or self.cost is None:
            return "reduced tier: not measured (trained with --split none?)"
        return (
            f"reduced tier: keeps {self.ndcg_kept:.1%} of the full NDCG@10 "
            f"at {self.cost:.1%} of its cost"
        )


def check_reduced(folder: Path, limits: ReducedLimits) -> ReducedFigures:
    """Returns the figures of a folder's reduced model.

    Raises:
        FailedPreconditionError: it keeps too little or costs too much; says how much,
            and the flag that allows it.
        DataLossError: the card is damaged.
    """
    figures = reduced_figures(folder)
    kept, cost = figures.ndcg_kept, figures.cost
    if kept is not None and kept < limits.min_ndcg_kept:
        raise FailedPreconditionError(
            f"the reduced model keeps {kept:.3f} of the full NDCG@10, must keep "
            f"{limits.min_ndcg_kept:g}; train again, or allow it: "
            f"--min-reduced-ndcg-kept {math.floor(kept * 100) / 100:g}"
        )
    if cost is not None and cost > limits.max_cost:
        raise FailedPreconditionError(
            f"the reduced model costs {cost:.3f} of the full one, may cost "
            f"{limits.max_cost:g}; measure again on a quiet machine, or allow it: "
            f"--max-reduced-cost {math.ceil(cost * 100) / 100:g}"
        )
    return figures


def reduced_figures(folder: Path) -> ReducedFigures:
    """Reads the figures of a folder's model card; none without one.

    Raises:
        DataLossError: the card is no JSON object, or a figure no number.
    """
    path = folder / MODEL_CARD_NAME
    try:
        card = json.loads(path.read_bytes())
        quality, cost = card.get("quality", {}), card.get("cost_us", {})
        return ReducedFigures(_ratio(quality, _QUALITY), _ratio(cost, _COST))
    except FileNotFoundError:
        return ReducedFigures()
    except (ValueError, TypeError, AttributeError) as error:
        raise DataLossError(f"{path}: no figures of tiers: {error!r}") from error


def _ratio(measured: dict[str, Any], figure: str) -> float | None:
    """The reduced tier's figure over the full one's; None where one is missing."""
    reduced = measured.get("reduced", {}).get(figure)
    full = measured.get("full", {}).get(figure)
    if reduced is None or not full:
        return None
    return float(reduced) / float(full)
