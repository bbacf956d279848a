"""Gauges that are read when somebody looks, in place of being set all the time."""

from collections.abc import Mapping
from typing import Any

from stepwell.base.clock import Clock
from stepwell.base.metric_names import (
    BREAKER_OPEN,
    FIT_RATIO,
    QUEUE_AGE,
    QUEUE_LENGTH,
    TIER_COST_MEAN,
    TIER_COST_P95,
)
from stepwell.base.metrics import Metrics
from stepwell.degradation.admission_queue import AdmissionQueue
from stepwell.degradation.circuit_breaker import BreakerState, CircuitBreaker
from stepwell.degradation.controller import LadderController

_OPENNESS = {
    BreakerState.CLOSED: 0.0,
    BreakerState.HALF_OPEN: 0.5,
    BreakerState.OPEN: 1.0,
}


class Gauges:
    """Sets the gauges of the ladder, the queue and the breakers.

    Concurrency: `refresh` from the metrics server's threads.
    """

    def __init__(
        self,
        metrics: Metrics,
        clock: Clock,
        ladder: LadderController,
        queue: AdmissionQueue[Any],
        breakers: Mapping[str, CircuitBreaker],
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._ladder = ladder
        self._queue = queue
        self._breakers = breakers

    def refresh(self) -> None:
        """Sets every gauge to what it is now."""
        now_us = self._clock.monotonic_us()
        status = self._ladder.status()
        self._metrics.set(FIT_RATIO, status.fit_ppm / 1e6)
        for tier, cost in status.costs.items():
            self._metrics.set(TIER_COST_P95, cost.p95_us / 1e6, tier.label)
            self._metrics.set(TIER_COST_MEAN, cost.mean_us / 1e6, tier.label)
        self._metrics.set(QUEUE_AGE, self._queue.oldest_age_us(now_us) / 1e6)
        for priority, length in self._queue.lengths().items():
            self._metrics.set(QUEUE_LENGTH, length, priority.label)
        for name, breaker in self._breakers.items():
            self._metrics.set(BREAKER_OPEN, _OPENNESS[breaker.state(now_us)], name)
