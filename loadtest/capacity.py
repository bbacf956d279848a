"""How many calls a second a server answers in time, tier by tier.

Every other rate of a load test is a ratio of these, so that a figure does not depend on
the machine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from generator import DEFAULT_CONNECTIONS, generate
from lanes import recommend_lane
from load_run import LoadRun, quantile
from open_loop import poisson
from rate_search import SearchOptions, Verdict, found, highest_rate
from stepwell.base.errors import FailedPreconditionError
from stepwell.client.types import Tier

IN_TIME_SHARE = 0.99
"""Of the calls, what makes "p99 <= budget"."""

_PATIENT_MS = 5_000
_MIN_CALLS_A_STEP = 400
_MAX_STEP_FACTOR = 4.0
_SEARCH = SearchOptions(growth=1.5, precision=1.06, lowest=1.0)
_NEAR = SearchOptions(growth=1.12, precision=1.06, lowest=1.0)
_FIRST_LOOK_RATE, _FIRST_LOOK_SECONDS = 20.0, 1.5
_FIRST_SHARE = 0.4

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
        around: a capacity known from before, for a shorter search near it.
    """

    budget_ms: float = 20.0
    seconds_a_step: float = 2.0
    num_items: int = 10
    connections: int = DEFAULT_CONNECTIONS
    seed: int = 1
    progress: Progress = lambda _: None
    around: Capacity | None = None


def calibrate(
    address: str, user_ids: Sequence[str], options: CapacityOptions | None = None
) -> Capacity:
    """Returns the capacity of each tier; about 90 s, 40 s around a known one.

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

    def measure(rate: float) -> Verdict:
        enough_s = _MIN_CALLS_A_STEP / rate
        longest_s = options.seconds_a_step * _MAX_STEP_FACTOR
        run = run_at(rate, min(max(options.seconds_a_step, enough_s), longest_s))
        verdict = verdict_of(run, options.budget_ms, tier)
        options.progress(_step_text(tier, rate, run, verdict))
        return verdict

    if options.around is None:
        first = run_at(_FIRST_LOOK_RATE, _FIRST_LOOK_SECONDS)
        search = highest_rate(_FIRST_SHARE / _cost_s(first, tier, options), _SEARCH)
    else:
        search = highest_rate(options.around.of(tier), _NEAR)
    capacity = found(search, measure)
    if not capacity:
        raise FailedPreconditionError(f"{tier.name} holds its budget at no rate")
    return capacity


def _cost_s(first: LoadRun, tier: Tier, options: CapacityOptions) -> float:
    answered = first.ok() & (first.tier == tier)
    if not answered.any():
        raise FailedPreconditionError(
            f"{tier.name} was never served: {first.summary(options.budget_ms)}"
        )
    return max(float(np.median(first.work_us()[answered])) / 1e6, 1e-5)


def verdict_of(
    run: LoadRun, budget_ms: float, tier: Tier = Tier.UNSPECIFIED
) -> Verdict:
    """Returns whether 99 % of a run's calls were answered in the budget.

    Args:
        run: of one rate.
        budget_ms: latency, from when a call was due, that counts as in time.
        tier: what answers must be of; UNSPECIFIED: anything.
    """
    if run.void or not len(run):
        return Verdict.VOID
    good = run.in_budget(budget_ms)
    if tier is not Tier.UNSPECIFIED:
        good &= run.tier == tier
    return Verdict.HOLDS if good.mean() >= IN_TIME_SHARE else Verdict.FAILS


_WORDS = {Verdict.HOLDS: "holds", Verdict.FAILS: "too much", Verdict.VOID: "void"}


def _step_text(tier: Tier, rate: float, run: LoadRun, verdict: Verdict) -> str:
    p99 = quantile(run.latency_ms(), 0.99)
    words = run.void or _WORDS[verdict]
    return f"{tier.name} at {rate:.0f}/s: p99 {p99:.1f} ms, {words}"
