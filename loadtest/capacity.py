"""How many calls a second a server answers in time, tier by tier.

Every other rate of a load test is a ratio of these, so that a figure does not depend on
the machine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from generator import DEFAULT_CONNECTIONS, generate
from lanes import recommend_lane
from load_run import LoadRun
from open_loop import poisson
from stepwell.base.errors import FailedPreconditionError
from stepwell.client.types import Tier

IN_TIME_SHARE = 0.99
"""Of the calls, what makes "p99 <= budget"."""

_PATIENT_MS = 5_000
_MIN_CALLS_A_STEP = 400
_MAX_STEP_FACTOR = 4.0
_RISE, _PRECISION = 1.5, 1.06
_MAX_STEPS = 24
_LOWEST_RATE = 1.0
_FIRST_LOOK_RATE, _FIRST_LOOK_SECONDS = 20.0, 1.5
_FIRST_SHARE = 0.4

Holds = Callable[[float], bool]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Capacity:
    """Calls a second at which 99 % are answered in the budget by the tier asked for.

    Attributes:
        full, reduced, popular: with that tier forced: C0, C1, C2.
    """

    full: float
    reduced: float
    popular: float

    def of(self, tier: Tier) -> float:
        """Returns the capacity of one tier."""
        return {
            Tier.FULL: self.full,
            Tier.REDUCED: self.reduced,
            Tier.POPULAR: self.popular,
        }[tier]


@dataclass(frozen=True)
class CapacityOptions:
    """How capacity is looked for.

    Attributes:
        budget_ms: latency, from when a call is due, that counts as in time.
        seconds_a_step: of load at one rate; longer where too few calls would come.
        num_items: K of every call.
        connections: of the generator.
        seed: of the arrivals.
        progress: told of each step.
    """

    budget_ms: float = 20.0
    seconds_a_step: float = 2.0
    num_items: int = 10
    connections: int = DEFAULT_CONNECTIONS
    seed: int = 1
    progress: Progress = lambda _: None


def calibrate(
    address: str, user_ids: Sequence[str], options: CapacityOptions | None = None
) -> Capacity:
    """Returns the capacity of each tier; about 90 s.

    Args:
        address: of a server that serves nothing else meanwhile.
        user_ids: who is asked for, in turn.
        options: how it is looked for.
    Raises:
        FailedPreconditionError: a tier holds the budget at no rate.
        UnavailableError: nobody answers at the address.
    """
    options = options or CapacityOptions()
    full, reduced, popular = (
        capacity_of(address, user_ids, tier, options)
        for tier in (Tier.FULL, Tier.REDUCED, Tier.POPULAR)
    )
    return Capacity(full, reduced, popular)


def capacity_of(
    address: str, user_ids: Sequence[str], tier: Tier, options: CapacityOptions
) -> float:
    """Returns the highest open-loop rate at which one forced tier holds the budget."""
    seed = options.seed

    def run_at(rate: float, seconds: float) -> LoadRun:
        nonlocal seed
        seed += 1
        lane = recommend_lane(
            tier.name,
            user_ids,
            num_items=options.num_items,
            tier=tier,
            deadline_ms=_PATIENT_MS,
        )
        schedule = poisson(rate, seconds, seed)
        return generate(address, schedule, [lane], connections=options.connections)

    def holds(rate: float) -> bool:
        enough_s = _MIN_CALLS_A_STEP / rate
        longest_s = options.seconds_a_step * _MAX_STEP_FACTOR
        seconds = min(max(options.seconds_a_step, enough_s), longest_s)
        # A machine has hiccups: only what is too much twice is too much.
        for _ in range(2):
            run = run_at(rate, seconds)
            held = in_time(run, tier, options.budget_ms)
            options.progress(_step_text(tier, rate, run, held))
            if held:
                return True
        return False

    first = run_at(_FIRST_LOOK_RATE, _FIRST_LOOK_SECONDS)
    answered = first.ok() & (first.tier == tier)
    if not answered.any():
        raise FailedPreconditionError(
            f"{tier.name} was never served: {first.summary(options.budget_ms)}"
        )
    cost_s = max(float(np.median(first.work_us()[answered])) / 1e6, 1e-5)
    return highest_rate(holds, _FIRST_SHARE / cost_s, tier.name)


def in_time(run: LoadRun, tier: Tier, budget_ms: float) -> bool:
    """True when 99 % of a run's calls were answered by the tier in the budget."""
    good = run.in_budget(budget_ms) & (run.tier == tier)
    return not run.void and bool(len(run)) and float(good.mean()) >= IN_TIME_SHARE


def highest_rate(holds: Holds, first: float, what: str) -> float:
    """Returns the highest rate that holds, to within 6 %.

    Rises by half from `first` until a rate does not hold, or falls by half until one
    does; then halves the ratio between the two.

    Args:
        holds: measures one rate.
        first: calls a second, > 0; a good guess is somewhat too low.
        what: named in the error.
    Raises:
        FailedPreconditionError: even one call a second is too much.
    """
    low, high, rate = 0.0, 0.0, first
    for _ in range(_MAX_STEPS):
        if holds(rate):
            low = rate
        else:
            high = rate
        if low and high:
            if high / low <= _PRECISION:
                break
            rate = float(np.sqrt(low * high))
        else:
            rate = low * _RISE if low else high / 2
        if rate < _LOWEST_RATE:
            raise FailedPreconditionError(f"{what} holds its budget at no rate")
    return low


def _step_text(tier: Tier, rate: float, run: LoadRun, held: bool) -> str:
    latency = run.latency_ms()
    p99 = float(np.quantile(latency, 0.99)) if len(latency) else 0.0
    verdict = "holds" if held else run.void or "too much"
    return f"{tier.name} at {rate:.0f}/s: p99 {p99:.1f} ms, {verdict}"
