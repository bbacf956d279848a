"""One worker under Poisson arrivals in simulated time, steered by the ladder."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from stepwell.base.clock import FakeClock
from stepwell.degradation.controller import Arrival, LadderController, LadderOptions
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import MILLION, TierCost

MEAN_US = {Tier.FULL: 5_000, Tier.REDUCED: 2_000, Tier.POPULAR: 200}
SIGMA = 0.25
"""Spread of the log-normal service times; p95 is 1.46 times the mean."""

UTILITY = {Tier.FULL: 1.0, Tier.REDUCED: 0.97, Tier.POPULAR: 0.6}
BUDGET_US = 50_000
DEADLINE_US = 200_000


@dataclass(frozen=True)
class Outcome:
    """What became of one request; tier None means refused or expired."""

    arrived_us: int
    latency_us: int
    tier: Tier | None


@dataclass
class Simulation:
    """A seeded run.

    Attributes:
        rate_per_second: arrivals as a function of time in microseconds.
        slowdown: factor on the service time of FULL as a function of time.
    """

    seed: int
    seconds: int
    rate_per_second: Callable[[int], float]
    slowdown: Callable[[int], float] = lambda now_us: 1.0
    outcomes: list[Outcome] = field(default_factory=list)

    def run(self) -> "Simulation":
        """Plays the run; the outcomes are in the order of their ends."""
        clock, random_source = FakeClock(), random.Random(self.seed)
        card = {t: TierCost(int(m * 1.46), m, False) for t, m in MEAN_US.items()}
        options = LadderOptions(latency_budget_us=BUDGET_US)
        ladder = LadderController(clock, card, {}, options)
        waiting: deque[Arrival] = deque()
        arrivals = self._arrivals(random_source)
        while arrivals or waiting:
            if not waiting:
                first_us = arrivals[0].arrived_us
                self._take(ladder, clock, arrivals, waiting, until=first_us)
                continue
            arrival = waiting.popleft()
            decision = ladder.decide(arrival, len(waiting))
            if decision.tier is None:
                self._note(clock, arrival, None)
                continue
            service_us = self._service_us(random_source, decision.tier, clock)
            end_us = clock.monotonic_us() + service_us
            self._take(ladder, clock, arrivals, waiting, until=end_us)
            ladder.record(decision.tier, service_us, arrival)
            self._note(clock, arrival, decision.tier)
        return self

    def _arrivals(self, source: random.Random) -> deque[Arrival]:
        now_us, arrivals = 0, []
        while now_us < self.seconds * MILLION:
            now_us += int(source.expovariate(self.rate_per_second(now_us)) * MILLION)
            draws = source.randrange(MILLION), source.randrange(MILLION)
            arrivals.append(Arrival(now_us, now_us + DEADLINE_US, *draws))
        return deque(arrivals)

    def _take(
        self,
        ladder: LadderController,
        clock: FakeClock,
        arrivals: deque[Arrival],
        waiting: deque[Arrival],
        until: int,
    ) -> None:
        """Moves time to `until`, admitting who arrives on the way."""
        while arrivals and arrivals[0].arrived_us <= until:
            arrival = arrivals.popleft()
            clock.advance_us(max(arrival.arrived_us - clock.monotonic_us(), 0))
            if ladder.admits(arrival, len(waiting)):
                waiting.append(arrival)
            else:
                self._note(clock, arrival, None)
        clock.advance_us(max(until - clock.monotonic_us(), 0))

    def _service_us(self, source: random.Random, tier: Tier, clock: FakeClock) -> int:
        factor = self.slowdown(clock.monotonic_us()) if tier is Tier.FULL else 1.0
        spread = source.lognormvariate(-SIGMA * SIGMA / 2, SIGMA)
        return int(MEAN_US[tier] * spread * factor)

    def _note(self, clock: FakeClock, arrival: Arrival, tier: Tier | None) -> None:
        latency_us = clock.monotonic_us() - arrival.arrived_us
        self.outcomes.append(Outcome(arrival.arrived_us, latency_us, tier))
