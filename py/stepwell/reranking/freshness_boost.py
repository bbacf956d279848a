"""A head start for items that are new in the catalogue."""

from dataclasses import dataclass

import numpy as np

from stepwell.base.errors import InvalidArgumentError
from stepwell.pipeline.candidate import ScoreArray
from stepwell.reranking.diversity import PositionArray
from stepwell.reranking.item_traits import ItemTraits
from stepwell.schema.vocabulary import RowArray


@dataclass(frozen=True, slots=True)
class FreshnessBoost:
    """Lifts an item by `weight` standard deviations of the scores, halved with its age.

    Models know little of new items and rate them low; a head start lets them be seen
    and learned about. The scores themselves stay as the model gave them.

    Attributes:
        traits: `first_seen` of the items; without it nothing is lifted.
        weight: lift of a brand-new item, in standard deviations; 0 switches it off.
        half_life_seconds: age at which half of the lift is left, > 0.

    Concurrency: immutable. Cost: about 30 us for 500 rows; nothing when it is off.
    """

    traits: ItemTraits
    weight: float = 0.0
    half_life_seconds: int = 14 * 86_400

    def __post_init__(self) -> None:
        if self.weight < 0 or self.half_life_seconds <= 0:
            raise InvalidArgumentError(
                f"freshness: weight is {self.weight}, must be >= 0; half life is "
                f"{self.half_life_seconds} s, must be > 0",
                "weight",
            )

    def order(
        self,
        rows: RowArray,
        scores: ScoreArray,
        event_time: int,
        weight: float | None = None,
    ) -> PositionArray:
        """Returns int64 [N], every position once, best lifted score first.

        Args:
            rows: int64 [N], best first; ties keep this order.
            scores: float32 [N].
            event_time: unix seconds of the query. An item of its future is brand-new.
            weight: of this request; None takes the own one.
        """
        weight = self.weight if weight is None else weight
        first_seen = self.traits.first_seen
        finite = np.isfinite(scores)
        if weight <= 0 or first_seen is None or not finite.any():
            return np.arange(len(rows))
        age = np.maximum(event_time - first_seen[rows], 0)
        spread = float(scores[finite].std(dtype=np.float64))
        lift = weight * spread * np.exp2(-age / self.half_life_seconds)
        return np.argsort(-(scores + lift), kind="stable")
