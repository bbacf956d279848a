"""What a load run measured: one row a call, and its summary."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.client.types import Reason, Tier

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LATE_MS = 1.0
"""A call that leaves later than this after its time is called late."""

MAX_LATE_MS = 10.0
"""A call that leaves later than this after its time did not leave on time at all."""

MIN_ON_TIME_SHARE = 0.99
MAX_CPU_SHARE = 0.85

STATUS_NAMES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED"),
    *("NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED"),
    *("FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
"""gRPC codes by number."""


@dataclass(frozen=True)
class LoadRun:
    """One run, in order of its schedule; seconds count from the run's start.

    Attributes:
        due_s: float64 [N], when a call was meant to leave; latency counts from here.
        sent_s: float64 [N], when it left; 0 when it never did.
        done_s: float64 [N], when its answer was there or it was given up.
        lane: int16 [N].
        status: int16 [N], gRPC code, 0 is OK.
        tier: int8 [N], number of the wire, 0 is none.
        reasons: uint32 [N], bit r is set for reason r of the wire.
        server_us, queue_us: int32 [N], as the answer says, 0 without one.
        pushback_ms: int32 [N], as the refusal says, -1 where it says none.
        num_items: int16 [N], items of the answer.
        attempts: int16 [N], how often the call was sent.
        lane_names: by number of the lane.
        generator_cpu_share: of one core, of the generator's process.
        seconds: from the start to the last answer.
        started_s: time.perf_counter() of the start, the same in every process.
        void: why the figures mean nothing, "" when they do.
    """

    due_s: Floats
    sent_s: Floats
    done_s: Floats
    lane: npt.NDArray[np.int16]
    status: npt.NDArray[np.int16]
    tier: npt.NDArray[np.int8]
    reasons: npt.NDArray[np.uint32]
    server_us: npt.NDArray[np.int32]
    queue_us: npt.NDArray[np.int32]
    pushback_ms: npt.NDArray[np.int32]
    num_items: npt.NDArray[np.int16]
    attempts: npt.NDArray[np.int16]
    lane_names: tuple[str, ...]
    generator_cpu_share: float
    seconds: float
    started_s: float
    void: str = ""

    def __len__(self) -> int:
        return len(self.due_s)

    def latency_ms(self) -> Floats:
        """Returns float64 [N], from when a call was due to when it was over."""
        return (self.done_s - self.due_s) * 1e3

    def late_ms(self) -> Floats:
        """Returns float64 [N], how long after its time each call left."""
        return np.maximum(self.sent_s - self.due_s, 0.0) * 1e3

    def work_us(self) -> npt.NDArray[np.int32]:
        """Returns int32 [N], the server's time for each answer without its queue."""
        worked: npt.NDArray[np.int32] = np.maximum(self.server_us - self.queue_us, 0)
        return worked

    def ok(self) -> Bools:
        """Returns bool [N], True where there was an answer."""
        ok: Bools = self.status == 0
        return ok

    def in_budget(self, budget_ms: float) -> Bools:
        """Returns bool [N], True where there was an answer in time."""
        return self.ok() & (self.latency_ms() <= budget_ms)

    def has_reason(self, reason: Reason) -> Bools:
        """Returns bool [N], True where the answer gave the reason."""
        return (self.reasons >> np.uint32(reason) & np.uint32(1)).astype(bool)

    def where(self, chosen: Bools) -> "LoadRun":
        """Returns the run of the chosen calls alone; bool [N]."""
        columns = {name: getattr(self, name)[chosen] for name in COLUMNS}
        rest = {name: getattr(self, name) for name in _SCALARS}
        return LoadRun(**columns, **rest)

    def of_lane(self, name: str) -> "LoadRun":
        """Returns the run of one lane alone."""
        return self.where(self.lane == self.lane_names.index(name))

    def between(self, from_s: float, to_s: float) -> "LoadRun":
        """Returns the run of the calls due in [from_s, to_s)."""
        return self.where((self.due_s >= from_s) & (self.due_s < to_s))

    def summary(self, budget_ms: float) -> dict[str, Any]:
        """Returns plain values: rates, latency, tiers, reasons, statuses.

        `p50_ms` to `max_ms` are of all calls, failed ones too. Tier shares are of the
        answers, `in_budget` and `error_share` of all calls. `seconds` is the span of
        the schedule, `goodput` what was answered in time in each of them.
        """
        latency, ok = self.latency_ms(), self.ok()
        span_s = schedule_seconds(self)
        in_budget = self.in_budget(budget_ms)
        return {
            "num_calls": len(self),
            "seconds": round(span_s, 3),
            "offered": _rounded(len(self) / span_s),
            "goodput": _rounded(in_budget.sum() / span_s),
            "in_budget": _share(in_budget),
            "error_share": _share(~ok),
            **percentiles(latency),
            "server_p50_ms": quantile(self.server_us[ok] / 1e3, 0.5),
            "server_p99_ms": quantile(self.server_us[ok] / 1e3, 0.99),
            "work_p50_ms": quantile(self.work_us()[ok] / 1e3, 0.5),
            "work_p99_ms": quantile(self.work_us()[ok] / 1e3, 0.99),
            "queue_p99_ms": quantile(self.queue_us[ok] / 1e3, 0.99),
            "tiers": {
                tier.name: _share(self.tier[ok] == tier)
                for tier in Tier
                if tier is not Tier.UNSPECIFIED
            },
            "reasons": self.reason_counts(),
            "statuses": self.status_counts(),
            "attempts_a_call": _rounded(self.attempts.mean()) if len(self) else 0.0,
            "late_share": _share(self.late_ms() > LATE_MS),
            "late_p99_ms": quantile(self.late_ms(), 0.99),
            "generator_cpu_share": _rounded(self.generator_cpu_share),
            "void": self.void,
        }

    def reason_counts(self) -> dict[str, int]:
        """Returns how many answers gave each reason, those that were given."""
        counts = {r.name: int(self.has_reason(r).sum()) for r in Reason if r}
        return {name: count for name, count in counts.items() if count}

    def status_counts(self) -> dict[str, int]:
        """Returns how many calls ended in each gRPC code, those that occurred."""
        codes, counts = np.unique(self.status, return_counts=True)
        return {
            STATUS_NAMES[code]: int(count)
            for code, count in zip(codes, counts, strict=True)
        }

    def save(self, path: Path) -> None:
        """Writes the run as an .npz file without pickled objects."""
        values = {name: np.asarray(getattr(self, name)) for name in COLUMNS + _SCALARS}
        with path.open("wb") as file:
            np.savez(file, **values)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> "LoadRun":
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            values: dict[str, Any] = {name: file[name] for name in COLUMNS}
            scalars: dict[str, Any] = {name: file[name].tolist() for name in _SCALARS}
        scalars["lane_names"] = tuple(scalars["lane_names"])
        return cls(**values, **scalars)


_SCALARS = ("lane_names", "generator_cpu_share", "seconds", "started_s", "void")
COLUMNS = tuple(f.name for f in fields(LoadRun) if f.name not in _SCALARS)
"""Names of the columns, each [N]."""


def void_reason(late_ms: Floats, cpu_share: float) -> str:
    """Returns why a run means nothing, "" when it does.

    Args:
        late_ms: float64 [N], how long after its time each call left.
        cpu_share: of one core.
    """
    share = float((late_ms <= MAX_LATE_MS).mean()) if len(late_ms) else 1.0
    if share < MIN_ON_TIME_SHARE:
        return f"{share:.1%} of the calls left on time, must be >= 99 %"
    if cpu_share > MAX_CPU_SHARE:
        return f"the generator used {cpu_share:.0%} of a core, at most 85 %"
    return ""


def schedule_seconds(run: LoadRun) -> float:
    """Returns the span of the schedule, at least a millisecond."""
    if not len(run):
        return 1e-3
    return max(float(run.due_s[-1] - run.due_s[0]), 1e-3)


def percentiles(latency_ms: Floats) -> dict[str, float]:
    """Returns p50, p95, p99, p99.9 and the maximum; zeros without samples."""
    names = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "p999_ms": 0.999}
    found = {name: quantile(latency_ms, share) for name, share in names.items()}
    return {**found, "max_ms": quantile(latency_ms, 1.0)}


def quantile(samples: Floats, share: float) -> float:
    """Returns a quantile as one of the samples (the next higher); 0 without any."""
    if not len(samples):
        return 0.0
    return _rounded(np.quantile(samples, share, method="higher"))


def _share(chosen: Bools) -> float:
    return _rounded(chosen.mean()) if len(chosen) else 0.0


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 5)
