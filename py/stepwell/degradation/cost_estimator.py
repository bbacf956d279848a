"""What each tier costs now: live percentiles over a window of time."""

from collections.abc import Mapping

from stepwell.base.latency_histogram import WindowedHistogram
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.tier_policy import TierCost

WINDOW_US = 4_000_000
"""A window of time: a count of samples stays degraded after the fault is gone."""

MIN_REFUSING_SAMPLES = 20
"""With fewer a single late answer is the p95: too little to refuse requests by."""


class CostEstimator:
    """Service time per tier over the last 4 s; the model card's without a fresh sample.

    Args:
        card_costs: the measured cost of each tier, from the release's model card.

    Concurrency: none; the controller locks. Time comes with every call.
    Cost: `record` 0.5 us, `costs` about 15 us after a record.
    """

    def __init__(self, card_costs: Mapping[Tier, TierCost]) -> None:
        self._windows = {tier: WindowedHistogram(WINDOW_US) for tier in BEST_FIRST}
        self._card_costs = dict(card_costs)

    def replace_card(self, card_costs: Mapping[Tier, TierCost]) -> None:
        """Takes another release's costs; live samples stay."""
        self._card_costs = dict(card_costs)

    def record(self, tier: Tier, service_us: int, now_us: int) -> None:
        """Adds the time a worker spent on one answer of the tier."""
        self._windows[tier].record(service_us, now_us)

    def record_failure(
        self, tier: Tier, service_us: int, budget_us: int, now_us: int
    ) -> None:
        """Adds an error: it counts as the worst latency, never as a quick answer."""
        worst_us = self._windows[tier].at(now_us).quantile_us(1000)
        self.record(tier, max(service_us, budget_us, worst_us), now_us)

    def costs(self, now_us: int) -> dict[Tier, TierCost]:
        """Returns the cost of every tier as of now."""
        return {tier: self._cost(tier, now_us) for tier in BEST_FIRST}

    def admission_cost(self, tier: Tier, now_us: int) -> TierCost:
        """Returns the cost that a request may be refused by.

        While samples are few it is the lower one of live and card: a wrong "yes" costs
        one late answer, a wrong "no" would refuse everybody until the window is over.
        """
        cost, card = self._cost(tier, now_us), self._card_costs[tier]
        if len(self._windows[tier].at(now_us)) >= MIN_REFUSING_SAMPLES:
            return cost
        return TierCost(
            min(cost.p95_us, card.p95_us), min(cost.mean_us, card.mean_us), cost.is_live
        )

    def _cost(self, tier: Tier, now_us: int) -> TierCost:
        histogram = self._windows[tier].at(now_us)
        if not len(histogram):
            card = self._card_costs[tier]
            return TierCost(card.p95_us, card.mean_us, is_live=False)
        return TierCost(histogram.quantile_us(950), histogram.mean_us())
