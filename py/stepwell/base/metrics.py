"""Counting: the listed metrics of one process, and their text form.

The only module that imports prometheus_client.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from stepwell.base.metric_names import ALL_METRICS, MetricKind, MetricSpec

LATENCY_EDGES_SECONDS = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.03, 0.05,
    0.1, 0.2, 0.5, 1.0, 5.0,
)  # fmt: skip
"""Edges of every latency histogram; they stand around the budgets of the tiers."""

_EDGE_NAMES = (*(str(edge) for edge in LATENCY_EDGES_SECONDS), "+Inf")
_KNOWN = frozenset(ALL_METRICS)
_Labels = tuple[str, ...]


class CounterSeries:
    """One counter that only grows. Concurrency: thread-safe. Cost: about 0.2 us."""

    __slots__ = ("_lock", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self._lock = threading.Lock()

    def add(self, amount: float = 1.0) -> None:
        """Adds to the counter."""
        with self._lock:
            self.value += amount


class GaugeSeries:
    """One value that goes up and down. Concurrency: thread-safe. Cost: 0.2 us."""

    __slots__ = ("_lock", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self._lock = threading.Lock()

    def add(self, amount: float) -> None:
        """Moves the gauge up, or down by a negative amount."""
        with self._lock:
            self.value += amount

    def set(self, value: float) -> None:
        """Sets the gauge."""
        self.value = value


class HistogramSeries:
    """One distribution of seconds. Concurrency: thread-safe. Cost: about 0.4 us."""

    __slots__ = ("_lock", "counts", "total_seconds")

    def __init__(self) -> None:
        self.counts = [0] * len(_EDGE_NAMES)
        self.total_seconds = 0.0
        self._lock = threading.Lock()

    @property
    def value(self) -> float:
        """Number of observations."""
        return float(sum(self.counts))

    def observe(self, seconds: float) -> None:
        """Adds one observation."""
        place = bisect_left(LATENCY_EDGES_SECONDS, seconds)
        with self._lock:
            self.counts[place] += 1
            self.total_seconds += seconds

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """Returns the cumulated counts by upper edge, and the sum in seconds."""
        with self._lock:
            counts, total_seconds = list(self.counts), self.total_seconds
        cumulated = map(float, accumulate(counts))
        return list(zip(_EDGE_NAMES, cumulated, strict=True)), total_seconds


_Series = CounterSeries | GaugeSeries | HistogramSeries
S = TypeVar("S", CounterSeries, GaugeSeries, HistogramSeries)


class Metrics(Collector):
    """The metrics of one process or one test; nothing is global.

    What a request passes keeps the series it counts in; `add`, `set` and `observe`
    look theirs up.

    Concurrency: thread-safe. Cost: `add`, `set` and `observe` about 0.5 us each.
    """

    def __init__(self) -> None:
        self._families: dict[MetricSpec, dict[_Labels, _Series]] = {}
        self._lock = threading.Lock()
        self._registry = CollectorRegistry()
        self._registry.register(self)

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

        0 when it was never touched.
        """
        series = self._families.get(spec, {}).get(labels)
        return series.value if series is not None else 0.0

    def exposition(self) -> bytes:
        """Returns all metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def collect(
        self,
    ) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        """Yields the families that were touched, for the registry."""
        with self._lock:
            families = [(spec, dict(named)) for spec, named in self._families.items()]
        for spec, named in families:
            yield _family(spec, named)

    def _series(self, spec: MetricSpec, labels: _Labels, kind: type[S]) -> S:
        family = self._families.get(spec)
        series = family.get(labels) if family is not None else None
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
            family = self._families.setdefault(spec, {})
            return family.setdefault(labels, _SERIES_OF_KIND[spec.kind]())


_SERIES_OF_KIND: dict[MetricKind, type[_Series]] = {
    MetricKind.COUNTER: CounterSeries,
    MetricKind.GAUGE: GaugeSeries,
    MetricKind.HISTOGRAM: HistogramSeries,
}


def _family(
    spec: MetricSpec, named: dict[_Labels, _Series]
) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    name, meaning, labels = spec.name, spec.meaning, spec.labels
    if spec.kind is MetricKind.HISTOGRAM:
        histograms = HistogramMetricFamily(name, meaning, labels=labels)
        for values, series in named.items():
            assert isinstance(series, HistogramSeries)
            buckets, total_seconds = series.read()
            histograms.add_metric(values, buckets, total_seconds)
        return histograms
    family: CounterMetricFamily | GaugeMetricFamily
    if spec.kind is MetricKind.COUNTER:
        family = CounterMetricFamily(name, meaning, labels=labels)
    else:
        family = GaugeMetricFamily(name, meaning, labels=labels)
    for values, series in named.items():
        family.add_metric(values, series.value)
    return family
