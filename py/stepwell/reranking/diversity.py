"""Maximal marginal relevance: a slate whose items are not all alike."""

import numpy as np
import numpy.typing as npt

from stepwell.ops.likeness import choose_diverse
from stepwell.pipeline.candidate import ScoreArray
from stepwell.reranking.item_traits import ItemTraits
from stepwell.schema.vocabulary import RowArray

PositionArray = npt.NDArray[np.int64]

DEFAULT_POOL_SIZE = 100
"""Best-ranked items among which MMR chooses; the rest keeps its order below them."""


class Diversity:
    """Orders the best items by relevance minus likeness to those already chosen.

    Each step takes the item with the greatest
    `(1 - lambda) * relevance - lambda * max(similarity to the chosen)`; relevance is
    the score scaled to [0, 1] within the pool, ties go to the better rank.

    Concurrency: immutable.
    Cost: about 60 us for 50 of a pool of 100 with six categories; nothing when lambda
    is 0.
    Source: Carbonell & Goldstein, SIGIR 1998. Differences: similarity is clipped at 0.
    """

    def __init__(self, traits: ItemTraits, pool_size: int = DEFAULT_POOL_SIZE) -> None:
        self._traits = traits
        self._pool_size = pool_size

    def order(
        self, rows: RowArray, scores: ScoreArray, diversity_lambda: float, num_kept: int
    ) -> PositionArray:
        """Returns int64 [N], every position once, the diverse ones first.

        Args:
            rows: int64 [N], best first.
            scores: float32 [N]; non-finite ones count as the pool's lowest.
            diversity_lambda: weight of novelty in [0, 1]; 0 keeps the order.
            num_kept: places that matter; below them the order is kept.
        """
        positions = np.arange(len(rows))
        pool = min(self._pool_size, len(rows))
        if diversity_lambda <= 0.0 or pool < 2 or num_kept < 2:
            return positions
        similarity = self._traits.similarity(rows[:pool])
        if similarity is None:
            return positions
        relevance = _scaled(scores[:pool])
        num_chosen = min(num_kept, pool)
        chosen = choose_diverse(relevance, similarity, diversity_lambda, num_chosen)
        left = np.ones(len(rows), np.bool_)
        left[chosen] = False
        return np.concatenate([chosen, positions[left]])


def _scaled(scores: ScoreArray) -> npt.NDArray[np.float64]:
    """Scores stretched to [0, 1]; all 0 when they do not differ."""
    wide = scores.astype(np.float64)
    finite = np.isfinite(wide)
    known = wide if finite.all() else wide[finite]
    low, high = known.min(initial=np.inf), known.max(initial=-np.inf)
    if not low < high:
        return np.zeros(len(scores))
    scaled = (np.where(finite, wide, low) - low) / (high - low)
    return np.asarray(scaled, np.float64)
