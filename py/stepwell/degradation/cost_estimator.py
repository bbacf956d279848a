"""What each tier costs now: live percentiles over a window of time."""

from collections.abc import Mapping
from dataclasses import dataclass

from stepwell.base.errors import check_range
from stepwell.base.latency_histogram import LatencyHistogram, WindowedHistogram
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.tier_policy import MILLION, TierCost


@dataclass(frozen=True, slots=True)
class CostOptions:
    """How costs are measured.

    Attributes:
        window_us: length of the window. Of time: a count of samples stays degraded
            after the fault is gone.
        num_slices: steps in which old samples leave.
        min_refusing_samples: with fewer a single late answer is the p95: too little to
            refuse requests by.
        min_sure_samples: with fewer a tier is probed, and one outlier is not believed.
        refresh_us: percentiles are at most so old.
        refresh_ppm: they are computed earlier when so many of the window's samples are
            new: at a start each one counts.
    """

    window_us: int = 4_000_000
    num_slices: int = 8
    min_refusing_samples: int = 20
    min_sure_samples: int = 20
    refresh_us: int = 10_000
    refresh_ppm: int = 62_500

    def __post_init__(self) -> None:
        check_range("num_slices", self.num_slices, 1, 64)
        check_range("window_us", self.window_us, self.num_slices, 600 * MILLION)
        check_range("min_refusing_samples", self.min_refusing_samples, 1, MILLION)
        check_range("min_sure_samples", self.min_sure_samples, 1, MILLION)
        check_range("refresh_us", self.refresh_us, 0, self.window_us)
        check_range("refresh_ppm", self.refresh_ppm, 0, MILLION)


class CostEstimator:
    """Service time per tier over the last 4 s; the model card's without a fresh sample.

    Args:
        card_costs: the measured cost of each tier, from the release's model card.
        options: window and freshness.

    Concurrency: none; the controller locks. Time comes with every call.
    Cost: `record` 0.7 us, `costs` 0.1 us, 8 us when they are due.
    """

    def __init__(
        self, card_costs: Mapping[Tier, TierCost], options: CostOptions | None = None
    ) -> None:
        self._options = options or CostOptions()
        self._windows = self._new_windows()
        self._card_costs = dict(card_costs)
        # Samples of a tier since its cost was computed.
        self._num_new = dict.fromkeys(BEST_FIRST, 0)
        self._costs: dict[Tier, TierCost] = {}
        self._admission: dict[Tier, TierCost] = {}
        self._due_us = 0
        self._is_due = True

    def reconfigure(self, options: CostOptions) -> None:
        """Takes other options; a window of another shape starts empty."""
        former, self._options = self._options, options
        shape = (options.window_us, options.num_slices)
        if shape != (former.window_us, former.num_slices):
            self._windows = self._new_windows()
        self._is_due = True

    def replace_card(self, card_costs: Mapping[Tier, TierCost]) -> None:
        """Takes another release's costs; live samples stay."""
        self._card_costs = dict(card_costs)
        self._is_due = True

    def record(self, tier: Tier, service_us: int, now_us: int) -> None:
        """Adds the time a worker spent on one answer of the tier."""
        window = self._windows[tier]
        window.record(service_us, now_us)
        self._num_new[tier] = num_new = self._num_new[tier] + 1
        if num_new * MILLION >= self._options.refresh_ppm * len(window.at(now_us)):
            self._is_due = True

    def record_failure(
        self, tier: Tier, service_us: int, budget_us: int, now_us: int
    ) -> None:
        """Adds an error: it counts as the worst latency, never as a quick answer."""
        worst_us = self._windows[tier].at(now_us).quantile_us(1000)
        self.record(tier, max(service_us, budget_us, worst_us), now_us)

    def costs(self, now_us: int) -> Mapping[Tier, TierCost]:
        """Returns the cost of every tier as of now; never changed after it was given.

        Up to `refresh_us` old, unless many samples are new.
        """
        if self._is_due or now_us >= self._due_us:
            self._costs = {tier: self._cost(tier, now_us) for tier in BEST_FIRST}
            self._admission.clear()
            self._num_new = dict.fromkeys(BEST_FIRST, 0)
            self._due_us = now_us + self._options.refresh_us
            self._is_due = False
        return self._costs

    def admission_cost(self, tier: Tier, now_us: int) -> TierCost:
        """Returns the cost that a request may be refused by: the median for all.

        While samples are few it is the lower one of live and card. A wrong "yes" costs
        one late answer; a wrong "no" refuses everybody, and nothing is learned until
        the window is over: a few slow answers must not be enough for it.
        """
        self.costs(now_us)  # forgets what is too old
        known = self._admission.get(tier)
        if known is None:
            known = self._admission[tier] = self._median_cost(tier, now_us)
        return known

    def _median_cost(self, tier: Tier, now_us: int) -> TierCost:
        histogram, card = self._windows[tier].at(now_us), self._card_costs[tier]
        median_us = histogram.quantile_us(500)
        if len(histogram) < self._options.min_refusing_samples:
            median_us = min(median_us, card.mean_us) if median_us else card.mean_us
        return TierCost(median_us, median_us, bool(len(histogram)))

    def _new_windows(self) -> dict[Tier, WindowedHistogram]:
        options = self._options
        return {
            tier: WindowedHistogram(options.window_us, options.num_slices)
            for tier in BEST_FIRST
        }

    def _cost(self, tier: Tier, now_us: int) -> TierCost:
        histogram = self._windows[tier].at(now_us)
        if not len(histogram):
            card = self._card_costs[tier]
            return TierCost(card.p95_us, card.mean_us, is_live=False, is_sure=False)
        if len(histogram) < self._options.min_sure_samples:
            return _few_cost(histogram, self._card_costs[tier])
        return TierCost(histogram.quantile_us(950), histogram.mean_us())


def _few_cost(histogram: LatencyHistogram, card: TierCost) -> TierCost:
    """The cost by few samples, whose p95 would be the worst of them.

    That one is left out: a pause of the machine must not close a tier for as long as
    the window is. A lone sample is believed when it is better than the card.
    """
    worst_us = histogram.largest_but_us(0)
    if len(histogram) == 1:
        p95_us, mean_us = min(worst_us, card.p95_us), min(worst_us, card.mean_us)
    else:
        p95_us = histogram.largest_but_us(1)
        others_us = max(histogram.sum_us - worst_us, 0)
        mean_us = others_us // (len(histogram) - 1)
    return TierCost(p95_us, mean_us, is_live=True, is_sure=False)
