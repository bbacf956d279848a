"""Counting: the listed metrics of one process, and their text form.

The only module that imports prometheus_client.
"""

import threading

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from stepwell.base.metric_names import ALL_METRICS, MetricKind, MetricSpec

LATENCY_EDGES_SECONDS = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.03, 0.05,
    0.1, 0.2, 0.5, 1.0, 5.0,
)  # fmt: skip
"""Edges of every latency histogram; they stand around the budgets of the tiers."""

# A second series for each series, that says when it was made: nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]

_KNOWN = frozenset(ALL_METRICS)
_Labels = tuple[str, ...]


class Metrics:
    """The metrics of one process or one test; nothing is global.

    Concurrency: thread-safe. Cost: `add`, `set` and `observe` about 1 us each.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._families: dict[MetricSpec, Counter | Gauge | Histogram] = {}
        self._series: dict[tuple[MetricSpec, _Labels], Counter | Gauge | Histogram] = {}
        self._lock = threading.Lock()

    def add(self, spec: MetricSpec, *labels: str, amount: float = 1.0) -> None:
        """Adds to a counter."""
        series = self._series_of(spec, labels)
        assert isinstance(series, Counter), f"{spec.name} is no counter"
        series.inc(amount)

    def set(self, spec: MetricSpec, value: float, *labels: str) -> None:
        """Sets a gauge."""
        series = self._series_of(spec, labels)
        assert isinstance(series, Gauge), f"{spec.name} is no gauge"
        series.set(value)

    def observe(self, spec: MetricSpec, seconds: float, *labels: str) -> None:
        """Adds one observation to a histogram."""
        series = self._series_of(spec, labels)
        assert isinstance(series, Histogram), f"{spec.name} is no histogram"
        series.observe(seconds)

    def value(self, spec: MetricSpec, *labels: str) -> float:
        """Returns a counter's or gauge's value, 0 when it was never touched."""
        sample = (
            f"{spec.name}_count" if spec.kind is MetricKind.HISTOGRAM else spec.name
        )
        named = dict(zip(spec.labels, labels, strict=True))
        return self._registry.get_sample_value(sample, named) or 0.0

    def exposition(self) -> bytes:
        """Returns all metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def _series_of(
        self, spec: MetricSpec, labels: _Labels
    ) -> Counter | Gauge | Histogram:
        series = self._series.get((spec, labels))
        return series if series is not None else self._make_series(spec, labels)

    def _make_series(
        self, spec: MetricSpec, labels: _Labels
    ) -> Counter | Gauge | Histogram:
        if spec not in _KNOWN:
            raise ValueError(f"metric {spec.name} is not listed in metric_names")
        with self._lock:
            family = self._families.get(spec)
            if family is None:
                family = self._families[spec] = self._make_family(spec)
            series = family.labels(*labels) if spec.labels else family
            self._series[spec, labels] = series
            return series

    def _make_family(self, spec: MetricSpec) -> Counter | Gauge | Histogram:
        name, meaning, labels = spec.name, spec.meaning, spec.labels
        if spec.kind is MetricKind.COUNTER:
            return Counter(name, meaning, labels, registry=self._registry)
        if spec.kind is MetricKind.GAUGE:
            return Gauge(name, meaning, labels, registry=self._registry)
        edges = LATENCY_EDGES_SECONDS
        return Histogram(name, meaning, labels, registry=self._registry, buckets=edges)
