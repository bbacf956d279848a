"""The re-ranking stage: the chain of filters and re-rankers, in one place."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stepwell.pipeline.candidate import RankedSet, ScoreArray
from stepwell.pipeline.plan import ExecutionPlan
from stepwell.pipeline.query import Query, UserContext
from stepwell.reranking.backfill import Backfill
from stepwell.reranking.diversity import (
    DEFAULT_POOL_SIZE,
    Diversity,
    PositionArray,
)
from stepwell.reranking.exposure import Exposure, ExposureLimit
from stepwell.reranking.freshness_boost import FreshnessBoost
from stepwell.reranking.item_traits import ItemTraits
from stepwell.reranking.policy_filter import PolicyFilter
from stepwell.reranking.seen_filter import SeenFilter
from stepwell.schema.vocabulary import RowArray


@dataclass(frozen=True, slots=True)
class RerankingOptions:
    """Settings of the chain; the default only filters, diversifies and fills.

    Attributes:
        purchase_window_seconds: see SeenFilter.
        freshness_weight, freshness_half_life_seconds: see FreshnessBoost.
        exposure_limits: see Exposure.
        diversity_pool_size: items among which diversity chooses.
    """

    purchase_window_seconds: int = 0
    freshness_weight: float = 0.0
    freshness_half_life_seconds: int = 14 * 86_400
    exposure_limits: tuple[ExposureLimit, ...] = field(default=())
    diversity_pool_size: int = DEFAULT_POOL_SIZE


class RerankingStage:
    """Policy, seen items, freshness, exposure, diversity, cut, back-fill: in order.

    What may not be shown is gone before anything is weighed, and what back-fill adds
    passes the same filters. The slate has min(K, allowed) entries, none twice; with
    every re-ranker off it keeps the ranking's order.

    Args:
        policy: what may be shown.
        traits: columns of the release's items.
        popular: item rows to fill up with, by segment row; entry 0 for "unknown".
        options: settings.

    Concurrency: immutable, thread-safe.
    Cost: under 0.5 ms for 50 of 500 with diversity on, about 0.06 ms with it off.
    """

    def __init__(
        self,
        policy: PolicyFilter,
        traits: ItemTraits | None = None,
        popular: Sequence[RowArray] = (),
        options: RerankingOptions | None = None,
    ) -> None:
        traits = traits or ItemTraits()
        options = options or RerankingOptions()
        self._policy = policy
        self._seen = SeenFilter(options.purchase_window_seconds)
        self._freshness = FreshnessBoost(
            traits, options.freshness_weight, options.freshness_half_life_seconds
        )
        self._exposure = Exposure(traits, options.exposure_limits)
        # Then nothing but diversity is left to move an item.
        self._keeps_order = not (options.freshness_weight or options.exposure_limits)
        self._diversity = Diversity(traits, options.diversity_pool_size)
        self._backfill = Backfill(popular, policy, self._seen)

    def rerank(
        self, query: Query, user: UserContext, ranked: RankedSet, plan: ExecutionPlan
    ) -> RankedSet:
        """Returns at most `query.num_items` entries, the slate from top to bottom."""
        all_rows = ranked.candidates.rows
        shown = self._policy.allowed(all_rows)
        if self._seen.hides_from(query):
            shown &= self._seen.unseen(query, user, all_rows)
        positions = np.flatnonzero(shown)
        rows, scores = all_rows[positions], ranked.scores[positions]
        order = self._order(query, rows, scores, plan.diversity_lambda)
        chosen = positions[order[: query.num_items]]
        return self._backfill.fill(query, user, ranked.taken(chosen))

    def _order(
        self,
        query: Query,
        rows: RowArray,
        scores: ScoreArray,
        diversity_lambda: float,
    ) -> PositionArray:
        """Returns positions of `rows`, the slate first."""
        diverse_of, num_items = self._diversity.order, query.num_items
        if self._keeps_order:
            return diverse_of(rows, scores, diversity_lambda, num_items)
        lifted = self._freshness.order(rows, scores, query.event_time)
        limited, num_within = self._exposure.order(rows[lifted], num_items)
        order = lifted[limited]
        # Diversity may not lift what exceeds a limit, so it does not see it.
        within, beyond = order[:num_within], order[num_within:]
        diverse = diverse_of(rows[within], scores[within], diversity_lambda, num_items)
        return np.concatenate([within[diverse], beyond])
