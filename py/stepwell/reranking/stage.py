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
from stepwell.reranking.exploration import Exploration, ExplorationOptions
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
        exploration: see Exploration.
    """

    purchase_window_seconds: int = 0
    freshness_weight: float = 0.0
    freshness_half_life_seconds: int = 14 * 86_400
    exposure_limits: tuple[ExposureLimit, ...] = field(default=())
    diversity_pool_size: int = DEFAULT_POOL_SIZE
    exploration: ExplorationOptions = field(default_factory=ExplorationOptions)


class RerankingStage:
    """Policy, seen, freshness, exposure, diversity, cut, back-fill, a draw: in order.

    What may not be shown is gone before anything is weighed, and what back-fill adds
    passes the same filters. The slate has min(K, allowed) entries, none twice; with
    every re-ranker off it keeps the ranking's order.

    Args:
        policy: what may be shown.
        traits: columns of the release's items.
        popular: item rows to fill up with, by segment row; entry 0 for "unknown".
        options: settings.
        new_rows: the release's new items, of which a place may be drawn for.

    Concurrency: immutable, thread-safe.
    Cost: under 0.5 ms for 50 of 500 with diversity on, about 0.06 ms with it off.
    """

    def __init__(
        self,
        policy: PolicyFilter,
        traits: ItemTraits | None = None,
        popular: Sequence[RowArray] = (),
        options: RerankingOptions | None = None,
        new_rows: RowArray | None = None,
    ) -> None:
        traits = traits or ItemTraits()
        options = options or RerankingOptions()
        self._policy = policy
        self._seen = SeenFilter(options.purchase_window_seconds)
        self._freshness = FreshnessBoost(
            traits, options.freshness_weight, options.freshness_half_life_seconds
        )
        self._exposure = Exposure(traits, options.exposure_limits)
        self._freshness_weight = options.freshness_weight
        self._limits_exposure = bool(options.exposure_limits)
        self._diversity = Diversity(traits, options.diversity_pool_size)
        self._backfill = Backfill(popular, policy, self._seen)
        none = np.zeros(0, np.int64)
        self._exploration = Exploration(
            none if new_rows is None else new_rows,
            policy,
            self._seen,
            options.exploration,
        )

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
        order = self._order(query, rows, scores, plan)
        chosen = positions[order[: query.num_items]]
        slate = self._backfill.fill(query, user, ranked.taken(chosen))
        return self._exploration.shown(query, user, ranked, slate)

    def _order(
        self,
        query: Query,
        rows: RowArray,
        scores: ScoreArray,
        plan: ExecutionPlan,
    ) -> PositionArray:
        """Returns positions of `rows`, the slate first."""
        diverse_of, num_items = self._diversity.order, query.num_items
        diversity_lambda, weight = plan.diversity_lambda, plan.freshness_weight
        if weight is None:
            weight = self._freshness_weight
        if not (weight or self._limits_exposure):
            # Nothing but diversity is left to move an item.
            return diverse_of(rows, scores, diversity_lambda, num_items)
        lifted = self._freshness.order(rows, scores, query.event_time, weight)
        limited, num_within = self._exposure.order(rows[lifted], num_items)
        order = lifted[limited]
        # Diversity may not lift what exceeds a limit, so it does not see it.
        within, beyond = order[:num_within], order[num_within:]
        diverse = diverse_of(rows[within], scores[within], diversity_lambda, num_items)
        return np.concatenate([within[diverse], beyond])
