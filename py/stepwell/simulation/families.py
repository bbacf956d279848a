"""The kinds of runs: each draws its figures from a seed."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

import numpy as np

from stepwell.degradation.tier import Tier
from stepwell.simulation.scenario import (
    MILLION,
    Fault,
    FloatArray,
    Scenario,
    ServerModel,
    Spell,
    TierWork,
)

NUM_ARRIVALS = 1_000
"""A run is about so long, and no shorter than `LEAST_SECONDS`."""
LEAST_SECONDS, MOST_SECONDS = 5.0, 20.0
_QUARTER_US = 250_000
_STAGED = (Tier.FULL, Tier.REDUCED)

Rate = Callable[[FloatArray], FloatArray]


def constant(rate: float) -> Rate:
    """The same rate all the time."""
    return lambda at: np.full(len(at), rate)


def stepped(low: float, high: float, start: float, end: float) -> Rate:
    """`high` from `start` to `end` seconds, `low` before and after."""
    return lambda at: np.where((start <= at) & (at < end), high, low)


def ramped(low: float, high: float, seconds: float) -> Rate:
    """From `low` up to `high` at half time and down again."""
    return lambda at: high - (high - low) * np.abs(2 * at / seconds - 1)


def waved(low: float, high: float, period: float) -> Rate:
    """A sinusoid between two rates."""
    middle, half = (low + high) / 2, (high - low) / 2
    return lambda at: middle + half * np.sin(2 * math.pi * at / period)


class Draft:
    """A scenario in the making: a plain server, and rates in multiples of C_FULL."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        full_us = self.random.uniform(2_500, 6_000)
        self.server = ServerModel(
            work={
                Tier.FULL: TierWork(full_us),
                Tier.REDUCED: TierWork(full_us * self.random.uniform(0.25, 0.45)),
                Tier.POPULAR: TierWork(self.random.uniform(100, 250)),
            },
            sigma=self.random.uniform(0.1, 0.4),
            overhead_us=self.random.choice([0, 100, 300]),
            late_share=self.random.uniform(0.1, 0.65),
        )

    def load(self, low: float, high: float) -> float:
        """Draws a rate, in multiples of C_FULL, that POPULAR can still answer."""
        most = 0.6 * self.server.capacity(Tier.POPULAR)
        most /= self.server.capacity(Tier.FULL)
        return min(self.random.uniform(low, high), most)

    def seconds(self, mean_load: float) -> float:
        """Returns the length of a run of about `NUM_ARRIVALS` at a mean rate."""
        seconds = NUM_ARRIVALS / (self.server.capacity(Tier.FULL) * mean_load)
        return min(max(seconds, LEAST_SECONDS), MOST_SECONDS)

    def scenario(self, name: str, seconds: float, rate: Rate) -> Scenario:
        """Returns the scenario; `rate` is in multiples of C_FULL."""
        full = self.server.capacity(Tier.FULL)
        whole_us = self.server.work[Tier.FULL].mean_us(self.server.batch_size)
        budget_us = whole_us * self.random.uniform(4.5, 8.0)
        return Scenario(
            name=name,
            seed=self.seed,
            seconds=seconds,
            rate=lambda at: full * rate(at),
            server=self.server,
            utility={
                Tier.FULL: 1.0,
                Tier.REDUCED: self.random.uniform(0.75, 0.97),
                Tier.POPULAR: self.random.uniform(0.4, 0.7),
            },
            latency_budget_us=int(budget_us) + self.server.batch_delay_us,
            card_error=self.random.uniform(0.7, 1.4),
        )


def steady(seed: int, name: str = "steady") -> Scenario:
    """One rate from far below to far above what FULL can take."""
    draft = Draft(seed)
    load = draft.load(0.3, 3.0)
    return draft.scenario(name, draft.seconds(load), constant(load))


def step(seed: int) -> Scenario:
    """Half of C_FULL, a multiple of it for a third of the time, then half again."""
    draft = Draft(seed)
    high = draft.load(1.5, 4.0)
    seconds = draft.seconds(0.5 * 2 / 3 + high / 3)
    rate = stepped(0.5, high, seconds / 3, seconds * 2 / 3)
    return draft.scenario("step", seconds, rate)


def ramp(seed: int) -> Scenario:
    """Up to a multiple of C_FULL and down again."""
    draft = Draft(seed)
    high = draft.load(1.5, 4.0)
    seconds = draft.seconds((0.2 + high) / 2)
    return draft.scenario("ramp", seconds, ramped(0.2, high, seconds))


def sinusoid(seed: int) -> Scenario:
    """A wave whose period may resonate with any of the windows."""
    draft = Draft(seed)
    high = draft.load(1.2, 3.0)
    seconds = draft.seconds((0.2 + high) / 2)
    period = math.exp(draft.random.uniform(math.log(0.2), math.log(10.0)))
    return draft.scenario("sinusoid", seconds, waved(0.2, high, period))


def burst(seed: int) -> Scenario:
    """Ten times C_FULL, or what POPULAR can take, for a moment."""
    draft = Draft(seed)
    high = draft.load(6.0, 10.0)
    length = draft.random.uniform(0.1, 1.0)
    start = draft.random.uniform(2.0, 5.0)
    rate = stepped(0.6, high, start, start + length)
    return draft.scenario("burst", draft.seconds(0.6 + high * length / 10), rate)


def cost_shift(seed: int) -> Scenario:
    """One tier, or both that run stages, a few times slower for a while."""
    draft = Draft(seed)
    load = draft.load(0.5, 0.9)
    tiers = draft.random.choice([(Tier.FULL,), _STAGED, _STAGED])
    factor = draft.random.uniform(2.0, 6.0)
    return _with_spell(
        draft.scenario("cost shift", 12.0, constant(load)),
        lambda start, end: Spell(start, end, Fault.SLOWER, tiers, factor),
    )


def slow_store(seed: int) -> Scenario:
    """Each read of the store takes some milliseconds more for a while."""
    draft = Draft(seed)
    extra_us = int(draft.random.choice([1_000, 10_000, 200_000]))
    return _with_spell(
        draft.scenario("slow store", 9.0, constant(draft.load(0.4, 1.5))),
        lambda start, end: Spell(
            start, end, Fault.SLOW_STORE, _STAGED, extra_us=extra_us
        ),
    )


def dead_store(seed: int) -> Scenario:
    """No read of the store is answered for a while."""
    draft = Draft(seed)
    return _with_spell(
        draft.scenario("dead store", 9.0, constant(draft.load(0.4, 1.5))),
        lambda start, end: Spell(start, end, Fault.DEAD_STORE),
    )


def batches(seed: int) -> Scenario:
    """A thread takes several requests at once, and may wait for them."""
    draft = Draft(seed)
    size = draft.random.choice([2, 4, 8])
    delay_us = draft.random.choice([0, 500, 2_000])
    work = {
        tier: _batched(work, draft.random.uniform(0.2, 0.5))
        for tier, work in draft.server.work.items()
    }
    draft.server = replace(
        draft.server, work=work, batch_size=size, batch_delay_us=delay_us
    )
    load = draft.load(0.3, 2.0)
    return draft.scenario("batches", draft.seconds(load), constant(load))


def accelerator(seed: int) -> Scenario:
    """Costs as a GPU has them: most of a batch's time is the same for any size."""
    draft = Draft(seed)
    work = {
        tier: _batched(work, draft.random.uniform(0.8, 0.95), times=3.0)
        for tier, work in draft.server.work.items()
    }
    size = draft.random.choice([4, 8, 16])
    draft.server = replace(draft.server, work=work, batch_size=size)
    high = draft.load(0.8, 2.5)
    seconds = draft.seconds((0.2 + high) / 2)
    return draft.scenario("accelerator", seconds, ramped(0.2, high, seconds))


def workers(seed: int) -> Scenario:
    """Several processes with several threads; connections are hashed to them."""
    draft = Draft(seed)
    processes, threads = draft.random.choice([(2, 1), (4, 1), (2, 2), (1, 4)])
    draft.server = replace(draft.server, processes=processes, threads=threads)
    high = draft.load(0.8, 3.0)
    seconds = draft.seconds((0.4 + high) / 2)
    rate = stepped(0.4, high, seconds / 4, seconds * 3 / 4)
    return draft.scenario("workers", seconds, rate)


def retries(seed: int) -> Scenario:
    """Callers who got nothing come back, up to three times, through a slow spell."""
    draft = Draft(seed)
    load = draft.load(0.7, 2.0)
    scenario = _with_spell(
        draft.scenario("retries", 9.0, constant(load)),
        lambda start, end: Spell(start, end, Fault.SLOWER, _STAGED, 3.0),
    )
    return replace(scenario, max_attempts=3)


FAMILIES: Mapping[str, Callable[[int], Scenario]] = {
    "steady": steady,
    "step": step,
    "ramp": ramp,
    "sinusoid": sinusoid,
    "burst": burst,
    "cost shift": cost_shift,
    "slow store": slow_store,
    "dead store": dead_store,
    "batches": batches,
    "accelerator": accelerator,
    "workers": workers,
    "retries": retries,
}
"""Makes a scenario from a seed, by name of its kind."""


def any_scenario(seed: int) -> Scenario:
    """Returns the scenario of a seed; kinds take turns."""
    makers = list(FAMILIES.values())
    return makers[seed % len(makers)](seed)


def _with_spell(scenario: Scenario, spell: Callable[[int, int], Spell]) -> Scenario:
    """The scenario with a fault from its third second for a quarter of its length."""
    start = 12 * _QUARTER_US
    length = int(scenario.seconds * MILLION / 4) // _QUARTER_US * _QUARTER_US
    return replace(scenario, spells=(spell(start, start + length),))


def _batched(work: TierWork, fixed_share: float, times: float = 1.0) -> TierWork:
    """So many times the cost alone, part of it the same for a batch of any size."""
    alone_us = work.fixed_us * times
    return TierWork(alone_us * fixed_share, alone_us * (1 - fixed_share))
