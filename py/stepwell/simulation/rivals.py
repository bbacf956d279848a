"""Other ways to hold a deadline, played beside the ladder on the same requests.

Each is written as its source has it, and gets what the server has: the bounded queue,
expired requests never started and, where it knows tiers, the step down in flight.
"""

from collections import deque
from collections.abc import Mapping

from stepwell.base.latency_histogram import WindowedHistogram
from stepwell.degradation.circuit_breaker import CircuitBreaker
from stepwell.degradation.controller import Arrival
from stepwell.degradation.cost_estimator import CostEstimator
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.tier_policy import TierCost
from stepwell.simulation.scenario import MILLION, Scenario
from stepwell.simulation.steering import Maker, SimulatedClock, ladder

WINDOW_US = 4_000_000
NUM_COUNTED = 64


class TieredRival:
    """A rival that moves one level for all: 0 POPULAR, 1 REDUCED, 2 FULL.

    Between two levels the users with the lower draws get the better tier.
    """

    steps_down = True
    fit_ppm = 0
    breakers: Mapping[str, CircuitBreaker] = {}

    def __init__(self, scenario: Scenario, clock: SimulatedClock) -> None:
        self._budget_us = scenario.latency_budget_us
        self._clock = clock
        self._level = 2.0

    def admits(self, _arrival: Arrival, _num_ahead: int) -> bool:
        return True

    def decide(self, arrival: Arrival, _num_waiting: int) -> Tier | None:
        if self._clock.now_us >= arrival.deadline_us:
            self._ended(self._clock.now_us - arrival.arrived_us)
            return None
        base = int(self._level)
        lifted = arrival.user_draw < (self._level - base) * MILLION
        return Tier(Tier.POPULAR + base + lifted)

    def record(
        self, _tier: Tier, _service_us: int, arrival: Arrival, _served: Tier
    ) -> None:
        self._ended(self._clock.now_us - arrival.arrived_us)

    def _ended(self, latency_us: int) -> None:
        """Learns from a latency, from arrival to the end."""
        raise NotImplementedError

    def _move_to(self, level: float) -> None:
        self._level = min(max(level, 0.0), 2.0)


class FullOnly(TieredRival):
    """Every request at FULL, whatever happens: what C0 is measured with."""

    steps_down = False

    def _ended(self, _latency_us: int) -> None:
        return


class GlobalSwitch(TieredRival):
    """One tier for all: a step down when p99 > budget, up when it is far below.

    Looks every second; after a step it holds for `HOLD_US`. The p99 is over 4 s.
    """

    LOOK_US = 1_000_000
    HOLD_US = 5_000_000
    FAR_BELOW = 0.5

    def __init__(self, scenario: Scenario, clock: SimulatedClock) -> None:
        super().__init__(scenario, clock)
        self._latencies = WindowedHistogram(WINDOW_US)
        self._next_look_us = self.LOOK_US
        self._held_until_us = 0

    def _ended(self, latency_us: int) -> None:
        now_us = self._clock.now_us
        self._latencies.record(latency_us, now_us)
        if now_us < self._next_look_us:
            return
        self._next_look_us = now_us + self.LOOK_US
        p99_us = self._latencies.at(now_us).quantile_us(990)
        if p99_us > self._budget_us and self._level > 0:
            self._step(-1, now_us)
        elif p99_us < self.FAR_BELOW * self._budget_us and self._level < 2:
            if now_us >= self._held_until_us:
                self._step(1, now_us)

    def _step(self, by: int, now_us: int) -> None:
        self._move_to(self._level + by)
        self._latencies.clear()
        self._held_until_us = now_us + self.HOLD_US


class Brownout(TieredRival):
    """A dimmer of the optional work, by an adaptive controller of p95.

    Source: Klein et al., Brownout, ICSE 2014, equations 2-5: latency is modelled as
    alpha * dimmer, alpha by recursive least squares with forgetting. Differences: the
    dimmer runs over two optional parts, FULL over REDUCED over POPULAR.
    """

    LOOK_US = 500_000
    POLE = 0.9
    FORGETTING = 0.95
    SET_POINT = 0.8

    def __init__(self, scenario: Scenario, clock: SimulatedClock) -> None:
        super().__init__(scenario, clock)
        self._next_look_us = self.LOOK_US
        self._alpha = float(scenario.server.mean_us(Tier.FULL))
        self._covariance = 1.0
        self._recent = LastPeriod()

    def _ended(self, latency_us: int) -> None:
        now_us = self._clock.now_us
        self._recent.add(latency_us)
        if now_us < self._next_look_us:
            return
        self._next_look_us = now_us + self.LOOK_US
        p95_us = self._recent.take(0.95)
        dimmer = max(self._level, 0.05)
        gain = self._covariance * dimmer
        gain /= self.FORGETTING + dimmer * self._covariance * dimmer
        self._alpha += gain * (p95_us - self._alpha * dimmer)
        self._covariance -= gain * dimmer * self._covariance
        self._covariance /= self.FORGETTING
        error_us = self.SET_POINT * self._budget_us - p95_us
        self._move_to(self._level + (1 - self.POLE) / max(self._alpha, 1.0) * error_us)


class LastPeriod:
    """The latencies of one control period, exactly."""

    def __init__(self) -> None:
        self._values: list[int] = []

    def add(self, value: int) -> None:
        """Adds one."""
        self._values.append(value)

    def take(self, quantile: float) -> float:
        """Returns a quantile of them and forgets them all; 0 without any."""
        values, self._values = sorted(self._values), []
        return float(values[int(quantile * (len(values) - 1))]) if values else 0.0


class QualityFactor(TieredRival):
    """q += d for each request on target, q -= d * p / (100 - p) for each off it.

    In balance p % of the requests are on target. Source: the quality factor of X's
    product mixer; here over three tiers.
    """

    STEP = 0.002
    PERCENT = 95

    def _ended(self, latency_us: int) -> None:
        if latency_us <= self._budget_us:
            self._move_to(self._level + self.STEP)
        else:
            down = self.STEP * self.PERCENT / (100 - self.PERCENT)
            self._move_to(self._level - down)


class LimitRival:
    """A limit on requests in flight, without tiers: the rest is refused."""

    steps_down = False
    fit_ppm = 0
    breakers: Mapping[str, CircuitBreaker] = {}
    MOST = 200.0

    def __init__(self, _scenario: Scenario, clock: SimulatedClock) -> None:
        self._clock = clock
        self._limit = 10.0
        self._in_flight = 0

    def admits(self, _arrival: Arrival, _num_ahead: int) -> bool:
        if self._in_flight >= self._limit:
            return False
        self._in_flight += 1
        return True

    def decide(self, arrival: Arrival, _num_waiting: int) -> Tier | None:
        if self._clock.now_us >= arrival.deadline_us:
            self._in_flight -= 1
            return None
        return Tier.FULL

    def record(
        self, _tier: Tier, _service_us: int, arrival: Arrival, _served: Tier
    ) -> None:
        busy = self._in_flight * 2 >= self._limit
        self._in_flight -= 1
        # A limit that is not used is not tested: it must not grow.
        if busy:
            latency_us = self._clock.now_us - arrival.arrived_us
            self._limit = min(max(self._next(float(latency_us)), 1.0), self.MOST)

    def _next(self, latency_us: float) -> float:
        """Returns the limit after one more latency."""
        raise NotImplementedError


class Vegas(LimitRival):
    """The limit follows the queue that the lowest latency implies, as TCP Vegas does.

    Source: Netflix concurrency-limits, VegasLimit: alpha 3, beta 6, times log10 of the
    limit; the lowest latency is probed anew now and then.
    """

    PROBE_EVERY = 30.0

    def __init__(self, scenario: Scenario, clock: SimulatedClock) -> None:
        super().__init__(scenario, clock)
        self._lowest_us = 0.0
        self._num_seen = 0

    def _next(self, latency_us: float) -> float:
        self._num_seen += 1
        if self._num_seen >= self.PROBE_EVERY * self._limit:
            self._num_seen, self._lowest_us = 0, latency_us
        if not self._lowest_us or latency_us < self._lowest_us:
            self._lowest_us = latency_us
            return self._limit
        log = max(len(str(int(self._limit))) - 1, 0) or 1
        queue = self._limit * (1 - self._lowest_us / latency_us)
        if queue <= log:
            return self._limit + 6 * log
        if queue < 3 * log:
            return self._limit + log
        if queue > 6 * log:
            return self._limit - log
        return self._limit


class Gradient2(LimitRival):
    """The limit shrinks while short-term latency is above the long-term mean.

    Source: Netflix concurrency-limits, Gradient2Limit: tolerance 1.5, smoothing 0.2,
    a queue of 4, a long window of 600 samples.
    """

    TOLERANCE = 1.5
    SMOOTHING = 0.2
    QUEUE_SIZE = 4.0
    LONG_WEIGHT = 2.0 / 601

    def __init__(self, scenario: Scenario, clock: SimulatedClock) -> None:
        super().__init__(scenario, clock)
        self._long_us = 0.0

    def _next(self, latency_us: float) -> float:
        self._long_us = self._long_us or latency_us
        self._long_us += self.LONG_WEIGHT * (latency_us - self._long_us)
        if self._long_us > 2 * latency_us:
            self._long_us *= 0.95  # drifts back after a long overload
        gradient = min(max(self.TOLERANCE * self._long_us / latency_us, 0.5), 1.0)
        wanted = self._limit * gradient + self.QUEUE_SIZE
        return self._limit * (1 - self.SMOOTHING) + wanted * self.SMOOTHING


class CountedCosts(CostEstimator):
    """The ladder's costs over the last 64 samples in place of the last 4 s.

    What is wrong with it: a tier that is not served any more keeps its last costs.
    """

    def __init__(self, card_costs: Mapping[Tier, TierCost]) -> None:
        super().__init__(card_costs)
        self._counted: dict[Tier, deque[int]] = {
            tier: deque(maxlen=NUM_COUNTED) for tier in BEST_FIRST
        }

    def record(self, tier: Tier, service_us: int, now_us: int) -> None:
        super().record(tier, service_us, now_us)
        self._counted[tier].append(service_us)

    def _cost(self, tier: Tier, now_us: int) -> TierCost:
        samples = sorted(self._counted[tier])
        if not samples:
            return super()._cost(tier, now_us)
        p95_us = samples[min(int(0.95 * len(samples)), len(samples) - 1)]
        return TierCost(p95_us, sum(samples) // len(samples))


def counted_costs(scenario: Scenario) -> CostEstimator:
    """Returns the estimator of the mutation "cost window by count"."""
    return CountedCosts(scenario.server.card(scenario.card_error))


RIVALS: dict[str, Maker] = {
    "ladder": ladder(),
    "cost window by count": ladder(estimator=counted_costs),
    "global p99 switch": GlobalSwitch,
    "brownout dimmer": Brownout,
    "quality factor": QualityFactor,
    "Vegas limit": Vegas,
    "Gradient2 limit": Gradient2,
}
"""All that can steer, by name; the ladder first."""
