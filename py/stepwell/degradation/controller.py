"""The ladder at work: owns the clock and the state that the pure policy is shown."""

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from stepwell.base.clock import Clock
from stepwell.base.errors import check_range
from stepwell.degradation.circuit_breaker import BreakerState, CircuitBreaker
from stepwell.degradation.cost_estimator import CostEstimator, CostOptions
from stepwell.degradation.fit import Fit
from stepwell.degradation.gate import Gate, NoGate
from stepwell.degradation.pace import Pace
from stepwell.degradation.priority import Priority
from stepwell.degradation.reasons import BREAKER_REASONS, Reason
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.tier_policy import (
    MILLION,
    PolicyOptions,
    PolicySnapshot,
    TierCost,
    TierDecision,
    TierPolicy,
    is_idle,
)
from stepwell.degradation.trim import TrimOptions
from stepwell.front.admission import AdmissionTerms

TIERS_NEEDING = {
    "store": (Tier.FULL, Tier.REDUCED),
    "index": (Tier.FULL,),
    "embeddings": (Tier.FULL,),
}
"""The tiers that cannot be served without a dependency, by dependency."""

_NOTHING_BLOCKED: Mapping[Tier, Reason] = {}
_MAX_BUDGET_US = 600 * MILLION

PUBLISH_EVERY_US = 5_000
"""The gate's terms are at most so old while requests leave the queue."""


def draw(text: str) -> int:
    """Returns a hash of the text in [0, 1e6): the same for ever, uniform over texts."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % MILLION


@dataclass(frozen=True, slots=True)
class LadderOptions:
    """Settings of the ladder.

    Attributes:
        latency_budget_us: B, the time a request should take from arrival to answer.
        initial_fit_ppm: f at start, and where it hurries back to in calm.
        parallelism: threads of this process that answer.
        batch_size: requests that one thread answers at once; 1 also where threads have
            their scoring joined: the time of each holds that already.
        standing_us: when for so long requests have been served at POPULAR and have had
            to wait for more than an eighth of their budget all the same, those are
            refused whom it would cost more than half. In a shorter burst requests are
            refused only when even POPULAR cannot make their deadline.
    """

    latency_budget_us: int = 100_000
    initial_fit_ppm: int = 700_000
    parallelism: int = 1
    batch_size: int = 1
    standing_us: int = 100_000
    policy: PolicyOptions = field(default_factory=PolicyOptions)
    trim: TrimOptions = field(default_factory=TrimOptions)
    cost: CostOptions = field(default_factory=CostOptions)

    def __post_init__(self) -> None:
        check_range("latency_budget_us", self.latency_budget_us, 1, _MAX_BUDGET_US)
        check_range("initial_fit_ppm", self.initial_fit_ppm, 1, MILLION)
        check_range("parallelism", self.parallelism, 1, 1_024)
        check_range("batch_size", self.batch_size, 1, 1_024)
        check_range("standing_us", self.standing_us, 0, _MAX_BUDGET_US)


@dataclass(slots=True)
class Arrival:
    """When a request came and what it asked for, in monotonic microseconds.

    Not frozen: there is one a request, and that would double what it costs. Nobody
    changes one.
    """

    arrived_us: int
    deadline_us: int
    user_draw: int
    request_draw: int
    forced: Tier | None = None
    priority: Priority = Priority.INTERACTIVE


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
        estimator: of the costs; by default one with the options' window.

    Concurrency: thread-safe. Cost: `decide` about 4 us, `record` about 2 us.
    """

    def __init__(
        self,
        clock: Clock,
        card_costs: Mapping[Tier, TierCost],
        breakers: Mapping[str, CircuitBreaker],
        options: LadderOptions | None = None,
        estimator: CostEstimator | None = None,
    ) -> None:
        self._clock = clock
        self._options = options = options or LadderOptions()
        self._policy = TierPolicy(options.policy)
        self._estimator = estimator or CostEstimator(card_costs, options.cost)
        self._breakers = dict(breakers)
        now_us = clock.monotonic_us()
        self._fit = Fit(options.initial_fit_ppm, options.trim, options.cost, now_us)
        self._pace = Pace()
        self._drain_us: Mapping[Tier, int] = {}
        self._gate: Gate = NoGate()
        self._published_us = now_us
        self._forced: Tier | None = None
        self._num_served = dict.fromkeys(BEST_FIRST, 0)
        self._has_release = True
        self._lock = threading.Lock()

    @property
    def options(self) -> LadderOptions:
        """The options in force."""
        return self._options

    @property
    def fit_ppm(self) -> int:
        """LADDER's f now."""
        return self._fit.ppm

    def reconfigure(self, options: LadderOptions) -> LadderOptions:
        """Takes other options from the next request on; returns the former ones.

        f stays where it is, within its new limits, unless `initial_fit_ppm` changes: it
        then starts anew from there. Windows of another length start empty.
        """
        with self._lock:
            former, self._options = self._options, options
            self._policy = TierPolicy(options.policy)
            if options.cost != former.cost:
                self._estimator.reconfigure(options.cost)
                self._fit.start_window(options.cost)
            self._fit.reconfigure(options.initial_fit_ppm, options.trim)
            self._publish(self._clock.monotonic_us())
            return former

    def attach(self, gate: Gate) -> None:
        """Gives the gate its terms, from now on whenever they change."""
        with self._lock:
            self._gate = gate
            self._publish(self._clock.monotonic_us())

    def publish_terms(self) -> None:
        """Gives the gate new terms although no request has left the queue for a while.

        Who refuses everybody learns nothing from answers: what made it refuse must be
        forgotten in time.
        """
        with self._lock:
            self._publish(self._clock.monotonic_us())

    def decide(self, arrival: Arrival, num_waiting: int) -> TierDecision:
        """Returns the tier of a request that leaves the queue now."""
        now_us = self._clock.monotonic_us()
        blocked = self._blocked(now_us)
        with self._lock:
            snapshot = self._snapshot(arrival, num_waiting, now_us, blocked)
            decision = self._policy.decide(snapshot)
            found_idle = is_idle(snapshot)
            self._fit.left(is_idle=found_idle)
            self._pace.left(decision.tier, num_waiting, now_us)
            if now_us - self._published_us >= PUBLISH_EVERY_US:
                self._publish(now_us)
        self._gate.left(arrival.priority, found_idle)
        return decision

    def budget_us(self, arrival: Arrival) -> int:
        """Returns the time the request should take from arrival to answer."""
        deadline_us = arrival.deadline_us - arrival.arrived_us
        budget_us = self._options.latency_budget_us
        return min(budget_us, deadline_us)

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

    def count(self, served: Tier) -> None:
        """Counts an answer that says nothing of what its tier costs: a canary's."""
        with self._lock:
            self._num_served[served] += 1

    def record_failure(self, tier: Tier, service_us: int, arrival: Arrival) -> None:
        """Learns from an error of ours: it counts as the worst latency."""
        now_us, budget_us = self._clock.monotonic_us(), self.budget_us(arrival)
        with self._lock:
            self._estimator.record_failure(tier, service_us, budget_us, now_us)

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
            self._publish(self._clock.monotonic_us())

    @property
    def has_release(self) -> bool:
        """A release is live."""
        return self._has_release

    def release_gone(self) -> None:
        """No release is live: every decision is NO_RELEASE until one is."""
        with self._lock:
            self._has_release = False

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
                fit_ppm=self._fit.ppm,
                forced=self._forced,
                costs=self._estimator.costs(now_us),
                num_served=dict(self._num_served),
                open_breakers=not_closed,
            )

    def _snapshot(
        self,
        arrival: Arrival,
        num_waiting: int,
        now_us: int,
        blocked: Mapping[Tier, Reason],
    ) -> PolicySnapshot:
        options = self._options
        self._fit.look(now_us)
        # By position: keywords cost as much again.
        return PolicySnapshot(
            now_us - arrival.arrived_us,
            self.budget_us(arrival),
            arrival.deadline_us - arrival.arrived_us,
            num_waiting,
            self._estimator.costs(now_us),
            self._fit.ppm,
            blocked,
            arrival.forced or self._forced,
            self._has_release,
            arrival.user_draw,
            arrival.request_draw,
            options.parallelism,
            options.batch_size,
            options.trim.high_ppm,
            self._drain_us,
        )

    def _publish(self, now_us: int) -> None:
        self._published_us = now_us
        options = self._options
        self._drain_us = {tier: self._pace.drain_us(tier, now_us) for tier in Tier}
        popular = self._estimator.admission_cost(Tier.POPULAR, now_us)
        self._gate.set_terms(
            AdmissionTerms(
                options.latency_budget_us,
                popular.mean_us,
                popular.p95_us,
                self._drain_us[Tier.POPULAR],
                options.parallelism,
                options.batch_size,
                options.standing_us,
                not self._pace.is_mostly_popular,
            )
        )

    def _blocked(self, now_us: int) -> Mapping[Tier, Reason]:
        for breaker in self._breakers.values():
            if not breaker.is_closed:
                break
        else:
            return _NOTHING_BLOCKED
        return {
            tier: BREAKER_REASONS[dependency]
            for dependency, breaker in self._breakers.items()
            if not breaker.would_permit(now_us)
            for tier in TIERS_NEEDING[dependency]
        }

    def _record_budget_use(self, arrival: Arrival, now_us: int) -> None:
        """Notes an end-to-end time that f has a say in.

        A forced tier may take all of its deadline, and a caller who leaves less than
        half of the budget is late whatever f is: neither may shrink it for the others.
        """
        budget_us = self.budget_us(arrival)
        pinned = arrival.forced or self._forced
        if pinned is None and 2 * budget_us >= self._options.latency_budget_us:
            use_ppm = (now_us - arrival.arrived_us) * MILLION // budget_us
            self._fit.record(use_ppm, now_us)
