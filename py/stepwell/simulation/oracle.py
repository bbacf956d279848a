"""The best mix of tiers that one who knows the whole run could have served."""

import numpy as np

from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.simulation.scenario import MILLION, Fault, FloatArray, Scenario, Spell

WINDOW_US = 250_000
"""In each window the oracle spends all time of all threads, on whom it likes."""


def best_utility(scenario: Scenario) -> float:
    """Returns the utility of the best mix of tiers over the whole run."""
    return float(best_by_window(scenario).sum())


def best_by_window(scenario: Scenario) -> FloatArray:
    """Returns the utility of the best mix of tiers in each window, float64.

    An upper bound but for what spills over a window's edge: nobody waits, no batch is
    ever partly empty, and a request's own service time is the mean one. With N requests
    and the thread time of a window it is a fractional knapsack over the tiers: the best
    mix is one of two neighbours on the hull of (cost, utility).
    """
    arrived = scenario.arrivals_us()
    num_windows = int(np.ceil(scenario.seconds * MILLION / WINDOW_US))
    counts = np.bincount(arrived // WINDOW_US, minlength=num_windows)
    threads = scenario.server.processes * scenario.server.threads
    return np.array(
        [
            _window(scenario, int(count), threads * WINDOW_US, number * WINDOW_US)
            for number, count in enumerate(counts)
        ]
    )


def _window(scenario: Scenario, count: int, time_us: float, start_us: int) -> float:
    spell = scenario.spell_at(start_us + WINDOW_US // 2)
    return best_mix(choices(scenario, spell), count, time_us)


def choices(
    scenario: Scenario, spell: Spell | None = None
) -> list[tuple[float, float]]:
    """Returns (cost in us, utility) of no answer and of each tier that can be served.

    Args:
        scenario: names the server and what answers are worth.
        spell: the fault that is on.
    """
    found = [(0.0, 0.0)]
    for tier in BEST_FIRST:
        cost_us = _cost_us(scenario, tier, spell)
        if cost_us is not None:
            found.append((cost_us, scenario.utility[tier]))
    return sorted(found)


def _cost_us(scenario: Scenario, tier: Tier, spell: Spell | None) -> float | None:
    cost_us = scenario.server.mean_us(tier)
    if spell is None or tier not in spell.tiers:
        return cost_us
    if spell.fault is Fault.DEAD_STORE:
        return None
    if spell.fault is Fault.SLOW_STORE:
        return cost_us + spell.extra_us
    return cost_us * spell.factor


def best_mix(choices: list[tuple[float, float]], count: int, time_us: float) -> float:
    """Returns the greatest utility of requests whose costs sum to a time at most.

    Args:
        choices: (cost, utility) of each answer.
        count: of the requests; each gets one of the choices.
        time_us: of all threads.
    """
    if not count:
        return 0.0
    each_us = time_us / count
    best = max(value for cost, value in choices if cost <= each_us)
    for low_cost, low in choices:
        for high_cost, high in choices:
            if low_cost <= each_us < high_cost:
                part = (each_us - low_cost) / (high_cost - low_cost)
                best = max(best, low + part * (high - low))
    return best * count
