"""Gauges that are read when somebody looks, in place of being set all the time."""

from collections.abc import Mapping

from stepwell.base.clock import Clock
from stepwell.base.errors import FailedPreconditionError
from stepwell.base.metric_names import (
    BREAKER_OPEN,
    FIT_RATIO,
    IN_FLIGHT,
    QUEUE_AGE,
    QUEUE_LENGTH,
    RELEASE_STATE,
    SLATE_CACHE_USERS,
    TIER_COST_MEAN,
    TIER_COST_P95,
)
from stepwell.base.metrics import Metrics
from stepwell.degradation.circuit_breaker import BreakerState, CircuitBreaker
from stepwell.degradation.controller import LadderController
from stepwell.degradation.priority import Priority
from stepwell.front.admission_queue import AdmissionQueue
from stepwell.releases.manager import Manager
from stepwell.releases.state import ReleaseState
from stepwell.serving.dispatcher import Dispatcher
from stepwell.serving.engine import Engine

_OPENNESS = {
    BreakerState.CLOSED: 0.0,
    BreakerState.HALF_OPEN: 0.5,
    BreakerState.OPEN: 1.0,
}


class LadderGauges:
    """Sets the gauges of the ladder and the breakers.

    Concurrency: `refresh` from the metrics server's threads.
    """

    def __init__(
        self,
        metrics: Metrics,
        clock: Clock,
        ladder: LadderController,
        breakers: Mapping[str, CircuitBreaker],
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._ladder = ladder
        self._breakers = breakers

    def refresh(self) -> None:
        """Sets every gauge to what it is now."""
        now_us = self._clock.monotonic_us()
        status = self._ladder.status()
        self._metrics.set(FIT_RATIO, status.fit_ppm / 1e6)
        for tier, cost in status.costs.items():
            self._metrics.set(TIER_COST_P95, cost.p95_us / 1e6, tier.label)
            self._metrics.set(TIER_COST_MEAN, cost.mean_us / 1e6, tier.label)
        for name, breaker in self._breakers.items():
            self._metrics.set(BREAKER_OPEN, _OPENNESS[breaker.state(now_us)], name)


class QueueGauges:
    """Sets the gauges of the calls that wait and of those in hand.

    Concurrency: `refresh` from the metrics server's threads.
    """

    def __init__(
        self, metrics: Metrics, queue: AdmissionQueue, dispatcher: Dispatcher
    ) -> None:
        self._metrics = metrics
        self._queue = queue
        self._dispatcher = dispatcher

    def refresh(self) -> None:
        """Sets every gauge to what it is now."""
        lengths = self._queue.lengths()
        self._metrics.set(IN_FLIGHT, sum(lengths) + self._dispatcher.num_busy)
        self._metrics.set(QUEUE_AGE, self._queue.oldest_age_us() / 1e6)
        for priority in Priority:
            self._metrics.set(QUEUE_LENGTH, lengths[priority], priority.label)


class ReleaseGauges:
    """Sets the gauges of the live release and of what it remembers.

    Concurrency: `refresh` from the metrics server's threads.
    """

    def __init__(self, metrics: Metrics, manager: Manager[Engine]) -> None:
        self._metrics = metrics
        self._manager = manager

    def refresh(self) -> None:
        """Sets every gauge to what it is now; without a live release all are 0."""
        serial = self._manager.live_serial
        statuses = self._manager.statuses()
        live = {status.state for status in statuses if status.serial == serial}
        for state in ReleaseState:
            self._metrics.set(RELEASE_STATE, float(state in live), state.name.lower())
        self._metrics.set(SLATE_CACHE_USERS, self._num_cached_users())

    def _num_cached_users(self) -> int:
        try:
            with self._manager.borrow() as release:
                return len(release.content.slates)
        except FailedPreconditionError:
            return 0
