"""Runs of one plain server: the questions of overload tests in simulated time."""

from dataclasses import replace

from stepwell.degradation.tier import Tier
from stepwell.simulation.families import Rate, constant, stepped
from stepwell.simulation.play import play
from stepwell.simulation.played import Played
from stepwell.simulation.rivals import FullOnly
from stepwell.simulation.scenario import (
    MILLION,
    Fault,
    Scenario,
    ServerModel,
    Spell,
    TierWork,
)

PLAIN_SERVER = ServerModel(
    work={
        Tier.FULL: TierWork(3_000),
        Tier.REDUCED: TierWork(1_200),
        Tier.POPULAR: TierWork(200),
    },
    overhead_us=50,
)

C0_LOAD = 0.65
"""C0 of the plain server, the highest load with p99 <= budget at FULL alone, as a part
of what keeps its thread busy all the time; `find_c0_load` finds it."""

MENDED_US = 12 * MILLION
DELUGE_END_US = 8 * MILLION


def plain(name: str, seconds: float, rate: Rate, seed: int = 1) -> Scenario:
    """Returns a run of the plain server; `rate` is in requests a second."""
    return Scenario(name, seed, seconds, rate, PLAIN_SERVER)


def c0() -> float:
    """Returns C0 of the plain server, requests a second."""
    return C0_LOAD * PLAIN_SERVER.capacity(Tier.FULL)


def at_load(load: float, seconds: float = 30.0, seed: int = 1) -> Scenario:
    """A steady load in multiples of C0."""
    return plain(f"{load:g} x C0", seconds, constant(load * c0()), seed)


def overload(high: float, seconds: float = 40.0, seed: int = 1) -> Scenario:
    """Half of C0, a multiple of it from the 10th to the 20th second, half again."""
    rate = stepped(0.5 * c0(), high * c0(), 10.0, 20.0)
    return plain(f"0.5 -> {high:g} -> 0.5 x C0", seconds, rate, seed)


def mended(seed: int = 1) -> Scenario:
    """Both staged tiers six times slower from the 6th to the 12th second, at 0.8 C0."""
    run = at_load(0.8, 30.0, seed)
    # What shows late is slow to be noticed: the long stage is the last but one.
    server = replace(run.server, late_share=0.65)
    tiers = (Tier.FULL, Tier.REDUCED)
    spell = Spell(6 * MILLION, MENDED_US, Fault.SLOWER, tiers, factor=6.0)
    return replace(run, name="6 x slower, mended", server=server, spells=(spell,))


def flood(seconds: float = 2.0, seed: int = 1) -> Scenario:
    """Twice what POPULAR can take: less than half can be answered, as refusals cost."""
    return plain("2 x C2", seconds, constant(2.0 * _c2()), seed)


def deluge(calm_s: float = 16.0, seed: int = 1) -> Scenario:
    """Six seconds at three times C2, then half of C0.

    Where nobody is refused for a queue that stands (`STANDING_NOWHERE_US`) the flood is
    answered late and takes f to its floor.
    """
    rate = stepped(0.5 * c0(), 3.0 * _c2(), 2.0, DELUGE_END_US / MILLION)
    return plain("3 x C2, then 0.5 x C0", DELUGE_END_US / MILLION + calm_s, rate, seed)


STANDING_NOWHERE_US = 600 * MILLION
"""No queue of a simulated run stands for so long."""


def full_after(played: Played, since_us: int) -> float:
    """Returns the share of FULL among those who arrived later."""
    return float((played.tier[played.arrived_us >= since_us] == Tier.FULL).mean())


def _c2() -> float:
    """The requests a second that can be answered from memory."""
    return PLAIN_SERVER.capacity(Tier.POPULAR)


def seconds_to_full(played: Played, since_us: int = MENDED_US) -> float:
    """Returns the time from `since_us` to the first second that is 95 % FULL.

    As long as the run is when there is none.
    """
    for start, rows in played.by_second():
        tiers = played.tier[rows]
        if start * MILLION >= since_us and len(tiers):
            if (tiers == Tier.FULL).mean() >= 0.95:
                return start - since_us / MILLION
    return played.scenario.seconds


def find_c0_load(seconds: float = 60.0, steps: int = 8) -> float:
    """Returns the highest load of the plain server with p99 <= budget, all FULL."""
    low, high = 0.1, 1.0
    for _ in range(steps):
        middle = (low + high) / 2
        rate = middle * PLAIN_SERVER.capacity(Tier.FULL)
        run = play(plain("all FULL", seconds, constant(rate)), FullOnly)
        if run.latency_ms(0.99) * 1e3 <= run.scenario.latency_budget_us:
            low = middle
        else:
            high = middle
    return low
