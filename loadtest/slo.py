"""Limits as code: what a load run must hold, by situation.

The situations are the rows O1 to O9 of the table of faults. Every limit is a share, a
ratio or the budget itself, never milliseconds of some machine.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from capacity import Capacity
from flapping import deviation_beyond_noise, period_seconds
from load_run import STATUS_NAMES, LoadRun, quantile
from stepwell.client.types import Tier
from utility import TierValues, best_utility, utility

INTERACTIVE_LANE = "interactive"
HEAVY_LANE = "heavy"

NEED_CAPACITY = frozenset({"overload", "flood"})
"""Limits that compare with the server's capacity."""

SECONDS_AFTER_TROUBLE = {
    "burst": 6.0,
    "aftermath": 6.0,
    "storm": 11.0,
    "forgotten": 61.0,
}
"""Limits that need a trouble, and how much of the run must come after it."""

# Whatever else a call ends in is an error: a server that sheds load says so.
_REFUSAL = STATUS_NAMES.index("RESOURCE_EXHAUSTED")
_REFUSAL_MS = 5.0
_SETTLE_SECONDS, _BACK_SECONDS, _HEALTHY_SECONDS = 2.0, 5.0, 10.0


@dataclass(frozen=True)
class Finding:
    """One limit and what was measured.

    Attributes:
        what: in words, with the unit.
        measured, limit: the two values.
        at_most: True when the limit is an upper one.
    """

    what: str
    measured: float
    limit: float
    at_most: bool

    @property
    def holds(self) -> bool:
        """True when the limit is kept."""
        if self.at_most:
            return self.measured <= self.limit
        return self.measured >= self.limit

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        return f"{self.what} is {self.measured:.4g}, must be {sign} {self.limit:.4g}"


@dataclass(frozen=True)
class Situation:
    """What a run is judged by.

    Attributes:
        budget_ms: latency that counts as in time.
        capacity: of the server, measured before; needed by some limits.
        values: of an answer of each tier.
        trouble: (from, to) in seconds of the run, when load or fault was on.
        calm: a run of the same load without the trouble, for comparison.
        recovery_s: after a trouble, until nothing of it may be left.
    """

    budget_ms: float = 20.0
    capacity: Capacity | None = None
    values: TierValues = field(default_factory=TierValues)
    trouble: tuple[float, float] | None = None
    calm: LoadRun | None = None
    recovery_s: float = 60.0


Check = Callable[[LoadRun, Situation], list[Finding]]


def findings(name: str, run: LoadRun, situation: Situation) -> list[Finding]:
    """Returns every limit of a situation with what was measured.

    Args:
        name: one of SLOS.
        run: is judged.
        situation: what it is judged by.
    """
    return SLOS[name](run, situation)


def _half(run: LoadRun, situation: Situation) -> list[Finding]:
    return [*_answered(run, situation), _tier_share(run, Tier.FULL, 0.98)]


def _nearly_full(run: LoadRun, situation: Situation) -> list[Finding]:
    return [*_answered(run, situation), _tier_share(run, Tier.FULL, 0.90)]


def _overload(run: LoadRun, situation: Situation) -> list[Finding]:
    """O2: more than FULL can carry, less than POPULAR can."""
    reached = utility(run, situation.budget_ms, situation.values)
    capacity = _known(situation)
    best = best_utility(_offered(run), capacity, situation.values)
    return [
        _share_in_budget(run, situation, 0.999),
        _errors(run),
        Finding("utility of the best mix", reached / best, 0.90, at_most=False),
    ]


def _flood(run: LoadRun, situation: Situation) -> list[Finding]:
    """O3: more than even POPULAR can carry."""
    offered = _offered(run)
    goodput = run.summary(situation.budget_ms)["goodput"]
    reachable = min(offered, _known(situation).popular)
    is_refused = run.status == _REFUSAL
    refused = run.where(is_refused)
    refusal_ms = quantile(refused.latency_ms(), 0.99)
    num_silent = float((refused.pushback_ms < 0).sum())
    others = float((~run.ok() & ~is_refused).mean()) if len(run) else 1.0
    return [
        Finding("goodput of the reachable", goodput / reachable, 0.90, at_most=False),
        Finding("p99 of a refusal, ms", refusal_ms, _REFUSAL_MS, at_most=True),
        Finding("refusals without push-back, calls", num_silent, 0.0, at_most=True),
        Finding("share of errors that are no refusals", others, 0.0, at_most=True),
    ]


def _burst(run: LoadRun, situation: Situation) -> list[Finding]:
    """O4: calm, then trouble, then calm again."""
    begin, end = _trouble(situation)
    last = float(run.due_s[-1]) if len(run) else 0.0
    first_judged = begin + _SETTLE_SECONDS
    worst = worst_second_p99_ms(run, first_judged, last)
    back = run.between(end + _BACK_SECONDS, last)
    return [
        _errors(run),
        Finding("worst p99 of a second, ms", worst, situation.budget_ms, at_most=True),
        _tier_share(back, Tier.FULL, 0.95),
    ]


def _aftermath(run: LoadRun, situation: Situation) -> list[Finding]:
    """A burst far above capacity may refuse; 2 s after it nothing is left of it."""
    _, end = _trouble(situation)
    last = float(run.due_s[-1]) if len(run) else 0.0
    after = run.between(end + _SETTLE_SECONDS, last)
    worst = worst_second_p99_ms(run, end + _SETTLE_SECONDS, last)
    return [
        Finding("worst p99 of a second, ms", worst, situation.budget_ms, at_most=True),
        _errors(after),
        _tier_share(run.between(end + _BACK_SECONDS, last), Tier.FULL, 0.95),
    ]


def _steady(run: LoadRun, situation: Situation) -> list[Finding]:
    """O5: at the limit of FULL the share of FULL neither swings nor wanders."""
    deviation = deviation_beyond_noise(run)
    period = period_seconds(run)
    return [
        *_answered(run, situation),
        Finding("deviation of FULL beyond noise", deviation, 0.10, at_most=True),
        Finding("period of the share of FULL, s", period, 0.0, at_most=True),
    ]


def _storm(run: LoadRun, situation: Situation) -> list[Finding]:
    """O6: a stop of the server must not be followed by a storm of retries."""
    _, end = _trouble(situation)
    last = float(run.due_s[-1]) if len(run) else 0.0
    attempts = float(run.attempts.mean()) if len(run) else 0.0
    healthy = run.between(end + _HEALTHY_SECONDS, last)
    return [
        Finding("attempts a request", attempts, 1.15, at_most=True),
        *_answered(healthy, situation),
    ]


def _forgotten(run: LoadRun, situation: Situation) -> list[Finding]:
    """O7: a trigger that is gone leaves nothing behind."""
    begin, end = _trouble(situation)
    before = run.between(0.0, begin)
    after = run.between(end + situation.recovery_s, np.inf)
    p99_before = quantile(before.latency_ms(), 0.99)
    ratio = quantile(after.latency_ms(), 0.99) / max(p99_before, 1e-3)
    return [
        _errors(after),
        _tier_share(after, Tier.FULL, 0.98),
        Finding("p99 to that before", ratio, 1.1, at_most=True),
    ]


def _priorities(run: LoadRun, situation: Situation) -> list[Finding]:
    """O8: who waits for an answer comes first."""
    return [_share_in_budget(run.of_lane(INTERACTIVE_LANE), situation, 0.99)]


def _heavy(run: LoadRun, situation: Situation) -> list[Finding]:
    """O9: a few dear requests do not slow down the others."""
    if situation.calm is None:
        raise ValueError("the limits of `heavy` need a calm run to compare with")
    others = run.where(run.lane != run.lane_names.index(HEAVY_LANE))
    before = quantile(situation.calm.latency_ms(), 0.99)
    ratio = quantile(others.latency_ms(), 0.99) / max(before, 1e-3)
    return [Finding("p99 of the others to calm", ratio, 1.2, at_most=True)]


SLOS: dict[str, Check] = {
    "half": _half,
    "nearly-full": _nearly_full,
    "overload": _overload,
    "flood": _flood,
    "burst": _burst,
    "aftermath": _aftermath,
    "steady": _steady,
    "storm": _storm,
    "forgotten": _forgotten,
    "priorities": _priorities,
    "heavy": _heavy,
}
"""By situation: O1 (two), O2, O3, O4, O4 at 10x, O5, O6, O7, O8, O9."""


def worst_second_p99_ms(run: LoadRun, from_s: float, to_s: float) -> float:
    """Returns the highest p99 of the whole seconds of [from_s, to_s); 0 without any.

    A failed call counts as late as it was noticed; errors have their own limit.
    """
    worst, start = 0.0, from_s
    while start + 1.0 <= to_s:
        worst = max(worst, quantile(run.between(start, start + 1).latency_ms(), 0.99))
        start += 1.0
    return worst


def _answered(run: LoadRun, situation: Situation) -> list[Finding]:
    p99 = quantile(run.latency_ms(), 0.99)
    return [
        _errors(run),
        Finding("p99, ms", p99, situation.budget_ms, at_most=True),
    ]


def _errors(run: LoadRun) -> Finding:
    # A run without calls has shown nothing.
    share = float((~run.ok()).mean()) if len(run) else 1.0
    return Finding("share of errors", share, 0.0, at_most=True)


def _tier_share(run: LoadRun, tier: Tier, least: float) -> Finding:
    answered = run.tier[run.ok()]
    share = float((answered == tier).mean()) if len(answered) else 0.0
    return Finding(f"share of {tier.name}", share, least, at_most=False)


def _share_in_budget(run: LoadRun, situation: Situation, least: float) -> Finding:
    share = float(run.in_budget(situation.budget_ms).mean()) if len(run) else 0.0
    return Finding("share in budget", share, least, at_most=False)


def _offered(run: LoadRun) -> float:
    return float(run.summary(1.0)["offered"])


def _known(situation: Situation) -> Capacity:
    if situation.capacity is None:
        raise ValueError("these limits need the server's capacity")
    return situation.capacity


def _trouble(situation: Situation) -> tuple[float, float]:
    if situation.trouble is None:
        raise ValueError("these limits need to know when the trouble was")
    return situation.trouble
