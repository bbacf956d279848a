"""What a metric is: a name, a kind, a meaning, labels and the edges of buckets."""

import enum
from dataclasses import dataclass


class MetricKind(enum.Enum):
    """What the values of a metric do."""

    COUNTER = "counter"  # only grows; named *_total
    GAUGE = "gauge"  # goes up and down
    HISTOGRAM = "histogram"  # a distribution of observations


@dataclass(frozen=True, slots=True, eq=False)
class MetricSpec:
    """One metric: `labels` are in the order in which values are given.

    Each is itself and no other: comparing by identity keeps counting cheap.

    Attributes:
        edges: of a histogram's buckets, in seconds or as the name ends.
    """

    name: str
    kind: MetricKind
    meaning: str
    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()


LATENCY_EDGES_SECONDS = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.03, 0.05,
    0.1, 0.2, 0.5, 1.0, 5.0,
)  # fmt: skip
"""Edges of every latency histogram; they stand around the budgets of the tiers."""

AGE_EDGES_SECONDS = (
    1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0,
    7_776_000.0, 31_536_000.0,
)  # fmt: skip
"""Edges of every histogram of ages: a second to a year."""

RATIO_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Edges of histograms of shares."""


def counter(name: str, meaning: str, *labels: str) -> MetricSpec:
    """A counter, named *_total."""
    return MetricSpec(name, MetricKind.COUNTER, meaning, labels)


def gauge(name: str, meaning: str, *labels: str) -> MetricSpec:
    """A gauge."""
    return MetricSpec(name, MetricKind.GAUGE, meaning, labels)


def histogram(name: str, meaning: str, *labels: str) -> MetricSpec:
    """A histogram of latencies."""
    kind = MetricKind.HISTOGRAM
    return MetricSpec(name, kind, meaning, labels, LATENCY_EDGES_SECONDS)


def ages(name: str, meaning: str, *labels: str) -> MetricSpec:
    """A histogram of ages."""
    kind = MetricKind.HISTOGRAM
    return MetricSpec(name, kind, meaning, labels, AGE_EDGES_SECONDS)


def edged(name: str, meaning: str, edges: tuple[float, ...]) -> MetricSpec:
    """A histogram of something else, with edges of its own."""
    return MetricSpec(name, MetricKind.HISTOGRAM, meaning, (), edges)
