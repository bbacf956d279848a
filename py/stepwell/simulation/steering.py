"""Who decides in a simulated process: the ladder that serves, or a rival of it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from stepwell.degradation.circuit_breaker import BreakerOptions, CircuitBreaker
from stepwell.degradation.controller import Arrival, LadderController, LadderOptions
from stepwell.degradation.cost_estimator import CostEstimator
from stepwell.degradation.tier import Tier
from stepwell.front.admission import Admission, AdmissionTerms
from stepwell.simulation.scenario import Scenario

SLOW_READ_US = 5_000
IDLE_US = 100_000
"""So often a worker looks up that no request comes to."""


class SimulatedClock:
    """Time that the events set; the monotonic part of `stepwell.base.clock.Clock`."""

    def __init__(self) -> None:
        self.now_us = 0

    def monotonic_us(self) -> int:
        """Microseconds since the start of the run."""
        return self.now_us

    def event_seconds(self) -> int:
        """The same time in seconds."""
        return self.now_us // 1_000_000

    def wall_us(self) -> int:
        """The same time again."""
        return self.now_us


class Steering(Protocol):
    """Decides for one process. Concurrency: none. Time is the clock's it was given."""

    @property
    def breakers(self) -> Mapping[str, CircuitBreaker]:
        """Of its dependencies, by name; a rival may have none."""
        ...

    @property
    def steps_down(self) -> bool:
        """A request that shows to be late goes on at a lower tier."""
        ...

    @property
    def fit_ppm(self) -> int:
        """LADDER's f now, for plots; 0 for a rival without one."""
        ...

    def admits(self, arrival: Arrival, num_ahead: int, /) -> bool:
        """Says whether a request may enter the queue."""
        ...

    def decide(self, arrival: Arrival, num_waiting: int, /) -> Tier | None:
        """Returns the tier of a request that leaves the queue; None: no answer."""
        ...

    def record(
        self, tier: Tier, service_us: int, arrival: Arrival, served: Tier, /
    ) -> None:
        """Learns from an answer given now."""
        ...


Maker = Callable[[Scenario, SimulatedClock], Steering]
"""Makes what steers one process of a scenario."""


class LadderSteering:
    """The ladder itself, behind the very rule that a server lets callers in by."""

    steps_down = True

    def __init__(
        self,
        ladder: LadderController,
        breakers: Mapping[str, CircuitBreaker],
        clock: SimulatedClock,
    ) -> None:
        self._ladder = ladder
        self._breakers = breakers
        self._clock = clock
        self._admission = Admission()
        self._looked_us = 0
        self.record = ladder.record
        ladder.attach(self)

    @property
    def breakers(self) -> Mapping[str, CircuitBreaker]:
        return self._breakers

    @property
    def fit_ppm(self) -> int:
        """LADDER's f now."""
        return self._ladder.fit_ppm

    def admits(self, arrival: Arrival, num_ahead: int) -> bool:
        now_us, arrived_us = self._clock.now_us, arrival.arrived_us
        if now_us - self._looked_us >= IDLE_US:
            # As an idle worker does; a busy one has done so already.
            self._looked_us = now_us
            self._ladder.publish_terms()
        return self._admission.admits(
            arrival.priority,
            now_us - arrived_us,
            arrival.deadline_us - arrived_us,
            arrival.forced is not None,
            num_ahead,
            now_us,
        )

    def decide(self, arrival: Arrival, num_waiting: int) -> Tier | None:
        return self._ladder.decide(arrival, num_waiting).tier

    def set_terms(self, terms: AdmissionTerms) -> None:
        """Takes the ladder's terms, as the queue of a server does."""
        self._admission.set_terms(terms)

    def left(self, priority: int, is_idle: bool) -> None:
        """Notes a request that has left the queue, as the queue of a server does."""
        self._admission.left(priority, is_idle, self._clock.now_us)


def ladder(
    options: LadderOptions | None = None,
    estimator: Callable[[Scenario], CostEstimator] | None = None,
) -> Maker:
    """Returns the maker of ladders with these constants.

    Budget, threads and batch size are the scenario's.
    """

    def make(scenario: Scenario, clock: SimulatedClock) -> Steering:
        fitted = replace(
            options or LadderOptions(),
            latency_budget_us=scenario.latency_budget_us,
            parallelism=scenario.server.threads,
            batch_size=scenario.server.batch_size,
        )
        breakers = {"store": CircuitBreaker(BreakerOptions(SLOW_READ_US))}
        card = scenario.server.card(scenario.card_error)
        costs = estimator(scenario) if estimator else None
        return LadderSteering(
            LadderController(clock, card, breakers, fitted, costs), breakers, clock
        )

    return make
