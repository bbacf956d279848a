"""What a load run counted, and the report made of it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from stepwell.client.types import Answer


@dataclass(frozen=True, slots=True)
class JourneyReport:
    """One kind of call: how many, how fast, how many failed; milliseconds."""

    name: str
    num_calls: int
    num_errors: int
    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One run.

    Attributes:
        seconds: wall time of the run.
        journeys: by kind of call; "all" is the last.
        tiers: answers by the tier that made them.
        reasons: how often each reason was given.
        errors: failed calls by error.
        void: why the figures mean nothing, "" when they do.
    """

    seconds: float
    journeys: tuple[JourneyReport, ...]
    tiers: dict[str, int]
    reasons: dict[str, int]
    errors: dict[str, int]
    void: str = ""

    @property
    def total(self) -> JourneyReport:
        """All calls together."""
        return self.journeys[-1]

    def as_json(self) -> dict[str, Any]:
        """Returns plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "LoadReport":
        """Returns what `as_json` gave."""
        journeys = tuple(JourneyReport(**row) for row in document["journeys"])
        return cls(**{**document, "journeys": journeys})


@dataclass(slots=True)
class Tally:
    """Counts calls. Concurrency: one thread or one event loop."""

    latencies_ms: dict[str, list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    errors_by_journey: Counter[str] = field(default_factory=Counter)
    tiers: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, journey: str, latency_ms: float, answer: Answer | None) -> None:
        """Counts a call that was answered; `answer` is None where there is no slate."""
        self.latencies_ms[journey].append(latency_ms)
        if answer is not None:
            self.tiers[answer.served_by.tier.name] += 1
            self.reasons.update(reason.name for reason in answer.served_by.reasons)

    def add_error(self, journey: str, latency_ms: float, error: Exception) -> None:
        """Counts a call that failed."""
        self.latencies_ms[journey].append(latency_ms)
        self.errors_by_journey[journey] += 1
        self.errors[getattr(error, "code", type(error).__name__)] += 1

    def report(self, seconds: float, void: str = "") -> LoadReport:
        """Returns the report of a run that took `seconds`."""
        rows = [
            _row(name, samples, self.errors_by_journey[name], seconds)
            for name, samples in sorted(self.latencies_ms.items())
        ]
        everything = [ms for samples in self.latencies_ms.values() for ms in samples]
        num_errors = self.errors_by_journey.total()
        rows.append(_row("all", everything, num_errors, seconds))
        return LoadReport(
            seconds=round(seconds, 3),
            journeys=tuple(rows),
            tiers=dict(self.tiers),
            reasons=dict(self.reasons),
            errors=dict(self.errors),
            void=void,
        )


def _row(
    name: str, samples_ms: Sequence[float], num_errors: int, seconds: float
) -> JourneyReport:
    p50, p99, top = (
        np.percentile(samples_ms, [50, 99, 100]) if samples_ms else [0.0] * 3
    )
    return JourneyReport(
        name=name,
        num_calls=len(samples_ms),
        num_errors=num_errors,
        rate=round(len(samples_ms) / max(seconds, 1e-9), 2),
        p50_ms=round(float(p50), 3),
        p99_ms=round(float(p99), 3),
        max_ms=round(float(top), 3),
    )
