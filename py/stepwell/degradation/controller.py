"""The ladder at work: owns the clock and the state that the pure policy is shown."""

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from stepwell.base.clock import Clock
from stepwell.base.latency_histogram import WindowedHistogram
from stepwell.degradation.circuit_breaker import BreakerState, CircuitBreaker
from stepwell.degradation.cost_estimator import WINDOW_US, CostEstimator
from stepwell.degradation.reasons import BREAKER_REASONS, Reason
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.tier_policy import (
    MILLION,
    PolicyOptions,
    PolicySnapshot,
    TierCost,
    TierDecision,
    TierPolicy,
    can_make_popular,
)
from stepwell.degradation.trim import TrimOptions, trimmed_fit_ppm

TIERS_NEEDING = {
    "store": (Tier.FULL, Tier.REDUCED),
    "index": (Tier.FULL,),
    "embeddings": (Tier.FULL,),
}
"""The tiers that cannot be served without a dependency, by dependency."""


def draw(text: str) -> int:
    """Returns a hash of the text in [0, 1e6): the same for ever, uniform over texts."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % MILLION


@dataclass(frozen=True, slots=True)
class LadderOptions:
    """Settings of the ladder.

    Attributes:
        latency_budget_us: B, the time a request should take from arrival to answer.
        initial_fit_ppm: f at start.
    """

    latency_budget_us: int = 100_000
    initial_fit_ppm: int = 500_000
    policy: PolicyOptions = field(default_factory=PolicyOptions)
    trim: TrimOptions = field(default_factory=TrimOptions)


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a request came and what it asked for, in monotonic microseconds."""

    arrived_us: int
    deadline_us: int
    user_draw: int
    request_draw: int
    forced: Tier | None = None


@dataclass(frozen=True, slots=True)
class LadderStatus:
    """How the ladder stands, for operators."""

    fit_ppm: int
    forced: Tier | None
    costs: Mapping[Tier, TierCost]
    num_served: Mapping[Tier, int]
    open_breakers: tuple[str, ...]


class LadderController:
    """Asks the policy, and learns from outcomes.

    Args:
        clock: monotonic time.
        card_costs: cost of each tier in the live release's model card.
        breakers: one per dependency named in TIERS_NEEDING; others have no breaker.
        options: budget, shares and steps.

    Concurrency: thread-safe. Cost: `decide` about 25 us, `record` about 3 us.
    """

    def __init__(
        self,
        clock: Clock,
        card_costs: Mapping[Tier, TierCost],
        breakers: Mapping[str, CircuitBreaker],
        options: LadderOptions | None = None,
    ) -> None:
        self._clock = clock
        self._options = options or LadderOptions()
        self._policy = TierPolicy(self._options.policy)
        self._estimator = CostEstimator(card_costs)
        self._breakers = dict(breakers)
        # End-to-end time as a share of the request's own budget, in parts per million.
        self._budget_use = WindowedHistogram(WINDOW_US)
        self._fit_ppm = self._options.initial_fit_ppm
        self._trimmed_us = clock.monotonic_us()
        self._forced: Tier | None = None
        self._num_served = dict.fromkeys(BEST_FIRST, 0)
        self._has_release = True
        self._lock = threading.Lock()

    def admits(self, arrival: Arrival, num_ahead: int) -> bool:
        """False only when not even POPULAR would make the deadline."""
        snapshot = self._snapshot(arrival, num_ahead)
        with self._lock:
            now_us = self._clock.monotonic_us()
            popular = self._estimator.admission_cost(Tier.POPULAR, now_us)
        costs = {**snapshot.costs, Tier.POPULAR: popular}
        return can_make_popular(replace(snapshot, costs=costs))

    def decide(self, arrival: Arrival, num_waiting: int) -> TierDecision:
        """Returns the tier of a request that leaves the queue now."""
        return self._policy.decide(self._snapshot(arrival, num_waiting))

    def budget_us(self, arrival: Arrival) -> int:
        """Returns the time the request should take from arrival to answer."""
        deadline_us = arrival.deadline_us - arrival.arrived_us
        return min(deadline_us, self._options.latency_budget_us)

    def record(
        self, tier: Tier, service_us: int, arrival: Arrival, served: Tier | None = None
    ) -> None:
        """Learns from an answer that was just given.

        Args:
            tier: the tier that was decided; it has the cost, however the request ended.
            service_us: time on a worker.
            arrival: of the request.
            served: the tier that the answer names when it stepped down in flight.
        """
        now_us = self._clock.monotonic_us()
        with self._lock:
            self._estimator.record(tier, service_us, now_us)
            self._num_served[tier if served is None else served] += 1
            self._record_budget_use(arrival, now_us)

    def record_failure(self, tier: Tier, service_us: int, arrival: Arrival) -> None:
        """Learns from an error of ours: it counts as the worst latency."""
        now_us, budget_us = self._clock.monotonic_us(), self.budget_us(arrival)
        with self._lock:
            self._estimator.record_failure(tier, service_us, budget_us, now_us)

    def forced_tier(self, arrival: Arrival) -> Tier | None:
        """Returns the tier that the caller, else the operator, asks for, or None."""
        return arrival.forced or self._forced

    def force(self, tier: Tier | None) -> Tier | None:
        """Pins every request to a tier, None frees them; returns the former pin."""
        with self._lock:
            previous, self._forced = self._forced, tier
            return previous

    def release_went_live(self, card_costs: Mapping[Tier, TierCost]) -> None:
        """Takes the measured costs of the release that now serves."""
        with self._lock:
            self._estimator.replace_card(card_costs)
            self._has_release = True

    @property
    def has_release(self) -> bool:
        """A release is live."""
        return self._has_release

    def release_gone(self) -> None:
        """No release is live: every decision is NO_RELEASE until one is."""
        with self._lock:
            self._has_release = False

    def retry_after_ms(self, num_ahead: int) -> int:
        """Returns a refused caller's push-back: what the queue takes at POPULAR."""
        with self._lock:
            costs = self._estimator.costs(self._clock.monotonic_us())
        return max(1, num_ahead * costs[Tier.POPULAR].mean_us // 1_000)

    def status(self) -> LadderStatus:
        """Returns how the ladder stands now."""
        now_us = self._clock.monotonic_us()
        not_closed = tuple(
            name
            for name, breaker in self._breakers.items()
            if breaker.state(now_us) is not BreakerState.CLOSED
        )
        with self._lock:
            return LadderStatus(
                fit_ppm=self._fit_ppm,
                forced=self._forced,
                costs=self._estimator.costs(now_us),
                num_served=dict(self._num_served),
                open_breakers=not_closed,
            )

    def _snapshot(self, arrival: Arrival, num_waiting: int) -> PolicySnapshot:
        now_us = self._clock.monotonic_us()
        blocked = self._blocked(now_us)
        with self._lock:
            self._trim(now_us)
            return PolicySnapshot(
                age_us=now_us - arrival.arrived_us,
                budget_us=self.budget_us(arrival),
                deadline_us=arrival.deadline_us - arrival.arrived_us,
                num_waiting=num_waiting,
                costs=self._estimator.costs(now_us),
                fit_ppm=self._fit_ppm,
                blocked=blocked,
                forced=self.forced_tier(arrival),
                has_release=self._has_release,
                user_draw=arrival.user_draw,
                request_draw=arrival.request_draw,
            )

    def _blocked(self, now_us: int) -> dict[Tier, Reason]:
        return {
            tier: BREAKER_REASONS[dependency]
            for dependency, breaker in self._breakers.items()
            if not breaker.would_permit(now_us)
            for tier in TIERS_NEEDING[dependency]
        }

    def _record_budget_use(self, arrival: Arrival, now_us: int) -> None:
        budget_us = max(self.budget_us(arrival), 1)
        use_ppm = (now_us - arrival.arrived_us) * MILLION // budget_us
        self._budget_use.record(use_ppm, now_us)

    def _trim(self, now_us: int) -> None:
        if now_us - self._trimmed_us < self._options.trim.interval_us:
            return
        self._trimmed_us = now_us
        p95_ppm = self._budget_use.at(now_us).quantile_us(950)
        self._fit_ppm = trimmed_fit_ppm(
            self._fit_ppm, p95_ppm, MILLION, self._options.trim
        )
