"""Gauges that are read when somebody looks, in place of being set all the time."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress

from stepwell.base.clock import Clock
from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    UnavailableError,
)
from stepwell.base.metric_names import (
    BREAKER_OPEN,
    FIT_RATIO,
    IN_FLIGHT,
    QUEUE_AGE,
    QUEUE_LENGTH,
    REFUSED_RELEASES,
    RELEASE_STATE,
    SLATE_CACHE_USERS,
    TIER_COST_MEAN,
    TIER_COST_P95,
    WRITER_AGE,
)
from stepwell.base.metrics import Metrics
from stepwell.degradation.circuit_breaker import BreakerState, CircuitBreaker
from stepwell.degradation.controller import LadderController
from stepwell.degradation.priority import Priority
from stepwell.feedback.item_activity import ItemActivity
from stepwell.front.admission_queue import AdmissionQueue
from stepwell.releases.manager import Manager
from stepwell.releases.state import ReleaseState
from stepwell.schema.feature_registry import ITEM_ACTIVITY
from stepwell.schema.feature_view import FeatureView
from stepwell.schema.writer_watermark import WriterWatermark
from stepwell.serving.dispatcher import Dispatcher
from stepwell.serving.engine import Engine
from stepwell.stores.key_value_store import WATERMARK_VIEW, KeyValueStore

_OPENNESS = {
    BreakerState.CLOSED: 0.0,
    BreakerState.HALF_OPEN: 0.5,
    BreakerState.OPEN: 1.0,
}

_LOOK_US = 5_000


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
        refused = [s for s in statuses if s.state is ReleaseState.ERROR]
        self._metrics.set(REFUSED_RELEASES, float(len(refused)))
        self._metrics.set(SLATE_CACHE_USERS, self._num_cached_users())

    def _num_cached_users(self) -> int:
        try:
            with self._manager.borrow() as release:
                return len(release.content.slates)
        except FailedPreconditionError:
            return 0


class WriterGauges:
    """Sets the gauges of how far behind the log the writers of features are.

    While the store is gone, what they said last grows old.

    Args:
        store: read at each look, off the request path.
        views: those whose writer must live.

    Concurrency: `refresh` from the metrics server's threads.
    """

    def __init__(
        self,
        metrics: Metrics,
        clock: Clock,
        store: KeyValueStore,
        views: Sequence[FeatureView],
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._store = store
        self._names = [view.name for view in views if view.freshness_seconds]
        self._last: list[bytes | None] = [None] * len(self._names)

    def refresh(self) -> None:
        """Sets every gauge to what it is now; a writer that never wrote is +Inf."""
        with suppress(UnavailableError):
            self._last = self._store.get_many(WATERMARK_VIEW, self._names, _LOOK_US)
        now_us = self._clock.wall_us()
        for name, blob in zip(self._names, self._last, strict=True):
            self._metrics.set(WRITER_AGE, _age_seconds(blob, now_us), name)


class ItemActivityGauge:
    """Sets the gauge of how far behind the log this process's item features are."""

    def __init__(self, metrics: Metrics, items: ItemActivity) -> None:
        self._metrics = metrics
        self._items = items

    def refresh(self) -> None:
        """Sets it to what it is now; +Inf before the first look at the log."""
        age = self._items.age_seconds()
        self._metrics.set(WRITER_AGE, age, ITEM_ACTIVITY.name)


def _age_seconds(blob: bytes | None, now_us: int) -> float:
    with suppress(DataLossError):
        if blob is not None:
            return WriterWatermark.unpack(blob).age_us(now_us) / 1e6
    return math.inf
