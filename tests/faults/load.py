"""Load on a server under test, in ratios of what it can carry."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from generator import At, generate
from lanes import Lane, recommend_lane
from load_run import MAX_LATE_MS, LoadRun
from open_loop import Schedule, poisson
from stepwell.client.types import Tier

IS_LONG = os.environ.get("STEPWELL_LONG") == "1"
"""The long form: lengths and limits as the table of faults has them."""

BUDGET_MS = 20 if IS_LONG else 100
"""B. The short form shares two cores with whatever runs beside it."""

DEADLINE_MS = 200 if IS_LONG else 1_000
MAX_RUNS = 3
MIN_ON_TIME_SHARE = 0.99 if IS_LONG else 0.8
MAX_SETTLING_RUNS = 20
SETTLED_SHARE = 0.9
_PATIENT_MS = 60_000
_FULL_BURST, _POPULAR_BURST = 150, 400
_SHARE_IN_BUDGET = 0.8


def long_or_short(long: float, short: float) -> float:
    """Returns the value of the form that runs."""
    return long if IS_LONG else short


@dataclass(frozen=True, slots=True)
class Capacity:
    """Calls a second of one server: C0 of FULL, C2 of POPULAR."""

    full: float
    popular: float


def capacity(address: str, user_ids: Sequence[str]) -> Capacity:
    """Measures how fast a burst is answered at each tier, and takes four fifths of it.

    A quick stand-in for `capacity.calibrate`, whose search for the highest rate in
    budget takes longer than the tests that need a ratio.
    """
    return Capacity(
        full=_burst_rate(address, user_ids, Tier.FULL, _FULL_BURST),
        popular=_burst_rate(address, user_ids, Tier.POPULAR, _POPULAR_BURST),
    )


def _burst_rate(
    address: str, user_ids: Sequence[str], tier: Tier, number: int
) -> float:
    lane = recommend_lane("burst", user_ids, tier=tier, deadline_ms=_PATIENT_MS)
    burst = Schedule(np.zeros(number), np.zeros(number, np.int16))
    runs = [generate(address, burst, [lane]) for _ in range(2)]
    for run in runs:
        # A store behind a proxy misses a hop's few milliseconds at times.
        assert tier_share(run, tier) >= SETTLED_SHARE, run.summary(BUDGET_MS)
    seconds = min(float(run.done_s.max()) for run in runs)
    return _SHARE_IN_BUDGET * number / seconds


def load(
    address: str,
    lanes: Lane | Sequence[Lane],
    rate: float | Callable[[float], float],
    seconds: float,
    events: Sequence[At] = (),
) -> LoadRun:
    """Runs one lane, or several of equal shares.

    A run whose generator was starved is run again. In the short form, on a machine that
    others use too, the calls that left late are left out of what is returned.

    Args:
        rate: calls a second of all lanes together, or that at each second.
        events: what happens meanwhile; it happens again in a run that is run again.
    """
    lanes = [lanes] if isinstance(lanes, Lane) else list(lanes)
    for seed in range(MAX_RUNS):
        schedule = poisson(rate, seconds, seed)
        lane = np.random.default_rng(seed).integers(len(lanes), size=len(schedule))
        schedule = Schedule(schedule.due_s, lane.astype(np.int16))
        run = generate(address, schedule, lanes, events=events)
        on_time = run.late_ms() <= MAX_LATE_MS
        if on_time.mean() >= MIN_ON_TIME_SHARE:
            return run if IS_LONG else run.where(on_time)
    raise AssertionError(f"the generator is starved: {run.void}")


def settled(address: str, lane: Lane, rate: float) -> None:
    """Returns when FULL is what calls get: what was before is no longer counted.

    Costs are remembered for 4 s; a server that never comes back fails here.
    """
    for _ in range(MAX_SETTLING_RUNS):
        run = load(address, lane, rate, 1.0)
        if tier_share(run, Tier.FULL) >= SETTLED_SHARE:
            return
    raise AssertionError(f"still not FULL: {run.summary(BUDGET_MS)}")


def tier_share(run: LoadRun, tier: Tier) -> float:
    """Returns the share of a tier in a run's answers."""
    answers = run.tier[run.ok()]
    return float((answers == tier).mean()) if len(answers) else 0.0


def full_share_by_second(run: LoadRun) -> list[float]:
    """Returns the share of FULL in the answers to the calls of each second."""
    seconds = range(int(run.due_s.max()))
    return [tier_share(run.between(s, s + 1), Tier.FULL) for s in seconds]
