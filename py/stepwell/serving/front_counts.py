"""What the front has counted, on the metrics page: calls that no servicer ever saw."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from stepwell.base.metric_names import (
    FRONT_CANCELLED,
    FRONT_CONNECTIONS,
    FRONT_GIVEN_CONNECTIONS,
    FRONT_RECEIVED_BYTES,
    FRONT_REJECTED,
    FRONT_REJECTED_CONNECTIONS,
    FRONT_SENT_BYTES,
    FRONT_UNUSABLE_CONNECTIONS,
    GRPC_HANDLED,
    REFUSALS,
)
from stepwell.base.metrics import CounterSeries, Metrics
from stepwell.front.front import FrontCounters

_REFUSED = ("RecommendService", "refused")
"""Service and method of calls refused at the queue, which knows no methods."""

_REJECTED = ("unknown", "unknown")
_EXHAUSTED = "RESOURCE_EXHAUSTED"

Total = Callable[[FrontCounters], int]
_Pair = tuple[CounterSeries, Total]


@dataclass(slots=True)
class _Following:
    """A counter that grows as a total does which the front keeps."""

    series: CounterSeries
    total: Total
    seen: int = 0

    def follow(self, counters: FrontCounters) -> None:
        total = self.total(counters)
        self.series.add(total - self.seen)
        self.seen = total


class FrontCounts:
    """Carries the front's counters over to the metrics.

    Args:
        metrics: gets what has been added since it was last asked.
        counters: reads the front's.

    Concurrency: `refresh` from the metrics server's threads.
    """

    def __init__(self, metrics: Metrics, counters: Callable[[], FrontCounters]) -> None:
        self._counters = counters
        self._connections = metrics.gauge(FRONT_CONNECTIONS)
        self._lock = threading.Lock()
        self._following = [
            _Following(series, total) for series, total in _followed(metrics)
        ]

    def refresh(self) -> None:
        """Brings every series up to date."""
        with self._lock:
            counters = self._counters()
            self._connections.set(counters.num_connections)
            for following in self._following:
                following.follow(counters)


def _num_refused(counters: FrontCounters) -> int:
    return sum(counters.num_refused_overload)


def _num_late(counters: FrontCounters) -> int:
    return counters.num_refused_late + counters.num_expired


def _followed(metrics: Metrics) -> list[_Pair]:
    def rejected(cause: str, code: str, total: Total) -> list[_Pair]:
        return [
            (metrics.counter(FRONT_REJECTED, cause), total),
            (metrics.counter(GRPC_HANDLED, *_REJECTED, code), total),
        ]

    return [
        (metrics.counter(REFUSALS, "overload"), _num_refused),
        (metrics.counter(GRPC_HANDLED, *_REFUSED, _EXHAUSTED), _num_refused),
        (metrics.counter(REFUSALS, "expired"), _num_late),
        (metrics.counter(GRPC_HANDLED, *_REFUSED, "DEADLINE_EXCEEDED"), _num_late),
        *rejected("too_large", _EXHAUSTED, lambda c: c.num_too_large),
        *rejected("metadata", _EXHAUSTED, lambda c: c.num_metadata_too_large),
        *rejected("no_method", "UNIMPLEMENTED", lambda c: c.num_unknown_method),
        *rejected("malformed", "INTERNAL", lambda c: c.num_malformed),
        (metrics.counter(FRONT_REJECTED_CONNECTIONS), lambda c: c.num_rejected),
        (metrics.counter(FRONT_GIVEN_CONNECTIONS), lambda c: c.num_given),
        (metrics.counter(FRONT_UNUSABLE_CONNECTIONS), lambda c: c.num_unusable),
        (metrics.counter(FRONT_CANCELLED), lambda c: c.num_cancelled),
        (metrics.counter(FRONT_RECEIVED_BYTES), lambda c: c.bytes_in),
        (metrics.counter(FRONT_SENT_BYTES), lambda c: c.bytes_out),
    ]
