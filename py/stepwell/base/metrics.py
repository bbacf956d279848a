"""Counting: the listed metrics of one process, and their text form.

The only module that imports prometheus_client.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from stepwell.base.metric_names import ALL_METRICS
from stepwell.base.metric_spec import MetricKind, MetricSpec

# When a series began is nothing that the pages of several workers could add up.
disable_created_metrics()  # type: ignore[no-untyped-call]

_KNOWN = frozenset(ALL_METRICS)
_Labels = tuple[str, ...]


class CounterSeries:
    """One counter that only grows. Concurrency: thread-safe. Cost: about 0.25 us."""

    __slots__ = ("add",)

    add: Callable[..., None]
    """Adds to the counter: 1, or the amount given."""

    def __init__(self, counter: Counter) -> None:
        self.add = counter.inc


class GaugeSeries:
    """One value that goes up and down. Concurrency: thread-safe. Cost: 0.25 us."""

    __slots__ = ("add", "set")

    add: Callable[[float], None]
    """Moves the gauge up, or down by a negative amount."""

    set: Callable[[float], None]
    """Sets the gauge."""

    def __init__(self, gauge: Gauge) -> None:
        self.add = gauge.inc
        self.set = gauge.set


class HistogramSeries:
    """One distribution of seconds. Concurrency: thread-safe. Cost: about 0.5 us."""

    __slots__ = ("observe",)

    observe: Callable[[float], None]
    """Adds one observation."""

    def __init__(self, histogram: Histogram) -> None:
        self.observe = histogram.observe


_Series = CounterSeries | GaugeSeries | HistogramSeries
S = TypeVar("S", CounterSeries, GaugeSeries, HistogramSeries)


class Metrics:
    """The metrics of one process or one test; nothing is global.

    What a request passes keeps the series it counts in; `add`, `set` and `observe`
    look theirs up. What was never touched is not on the page.

    Concurrency: thread-safe. Cost: `add`, `set` and `observe` about 0.5 us more than
    their series'.
    """

    def __init__(self) -> None:
        self._families: dict[MetricSpec, Counter | Gauge | Histogram] = {}
        self._all: dict[tuple[MetricSpec, _Labels], _Series] = {}
        self._lock = threading.Lock()
        self._registry = CollectorRegistry()

    def counter(self, spec: MetricSpec, *labels: str) -> CounterSeries:
        """Returns the series of a counter."""
        return self._series(spec, labels, CounterSeries)

    def gauge(self, spec: MetricSpec, *labels: str) -> GaugeSeries:
        """Returns the series of a gauge."""
        return self._series(spec, labels, GaugeSeries)

    def histogram(self, spec: MetricSpec, *labels: str) -> HistogramSeries:
        """Returns the series of a histogram."""
        return self._series(spec, labels, HistogramSeries)

    def add(self, spec: MetricSpec, *labels: str, amount: float = 1.0) -> None:
        """Adds to a counter."""
        self.counter(spec, *labels).add(amount)

    def set(self, spec: MetricSpec, value: float, *labels: str) -> None:
        """Sets a gauge."""
        self.gauge(spec, *labels).set(value)

    def observe(self, spec: MetricSpec, seconds: float, *labels: str) -> None:
        """Adds one observation to a histogram."""
        self.histogram(spec, *labels).observe(seconds)

    def value(self, spec: MetricSpec, *labels: str) -> float:
        """Returns a counter's or gauge's value, a histogram's number of observations.

        0 when it was never touched. Cost: reads every metric.
        """
        suffix = "_count" if spec.kind is MetricKind.HISTOGRAM else ""
        named = dict(zip(spec.labels, labels, strict=True))
        return self._registry.get_sample_value(spec.name + suffix, named) or 0.0

    def exposition(self) -> bytes:
        """Returns all metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def _series(self, spec: MetricSpec, labels: _Labels, kind: type[S]) -> S:
        series = self._all.get((spec, labels))
        if series is None:
            series = self._make_series(spec, labels)
        assert isinstance(series, kind), f"{spec.name} is no {kind.__name__}"
        return series

    def _make_series(self, spec: MetricSpec, labels: _Labels) -> _Series:
        if spec not in _KNOWN:
            raise ValueError(f"metric {spec.name} is not listed in metric_names")
        if len(labels) != len(spec.labels):
            raise ValueError(f"{spec.name} has labels {spec.labels}, not {labels}")
        with self._lock:
            family = self._families.get(spec)
            if family is None:
                family = self._families[spec] = _family(spec, self._registry)
            child = family.labels(*labels) if labels else family
            return self._all.setdefault((spec, labels), _series_of(child))


def _family(
    spec: MetricSpec, registry: CollectorRegistry
) -> Counter | Gauge | Histogram:
    name, meaning, labels = spec.name, spec.meaning, spec.labels
    if spec.kind is MetricKind.COUNTER:
        return Counter(name, meaning, labels, registry=registry)
    if spec.kind is MetricKind.GAUGE:
        return Gauge(name, meaning, labels, registry=registry)
    return Histogram(name, meaning, labels, registry=registry, buckets=spec.edges)


def _series_of(child: Counter | Gauge | Histogram) -> _Series:
    if isinstance(child, Counter):
        return CounterSeries(child)
    if isinstance(child, Gauge):
        return GaugeSeries(child)
    return HistogramSeries(child)
