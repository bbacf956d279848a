"""The best mix, against figures that fit on a slip of paper."""

from dataclasses import replace

import numpy as np
import pytest

from stepwell.degradation.tier import Tier
from stepwell.simulation.oracle import best_by_window, best_mix, best_utility, choices
from stepwell.simulation.plain import plain
from stepwell.simulation.scenario import Fault, Scenario, ServerModel, Spell, TierWork

WORK = {
    Tier.FULL: TierWork(4_000),
    Tier.REDUCED: TierWork(2_000),
    Tier.POPULAR: TierWork(200),
}
UTILITY = {Tier.FULL: 1.0, Tier.REDUCED: 0.9, Tier.POPULAR: 0.5}


def _run(rate: float, spells: tuple[Spell, ...] = ()) -> Scenario:
    run = plain("oracle", 2.0, lambda at: np.full(len(at), rate))
    return replace(run, server=ServerModel(WORK), utility=UTILITY, spells=spells)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (100.0, 1.0),  # all FULL
        (250.0, 1.0),
        (500.0, 0.9),  # all REDUCED
        (333.33, 0.95),  # half of each: 3 ms
        (5_000.0, 0.5),
        (10_000.0, 0.25),  # half of them get nothing
        (1_000.0, 0.5 + 0.4 * 800 / 1_800),  # POPULAR and REDUCED: 1 ms
    ],
)
def test_the_best_mix_is_one_of_two_neighbours(rate: float, expected: float) -> None:
    count = round(rate)
    best = best_mix(choices(_run(rate)), count, 1_000_000) / count
    assert best == pytest.approx(expected, abs=0.002)


def test_a_run_sums_its_windows() -> None:
    run = _run(100.0)
    windows = best_by_window(run)
    assert len(windows) == 8
    assert best_utility(run) == pytest.approx(windows.sum())
    assert best_utility(run) <= len(run.arrivals_us())


def test_without_a_store_only_popular_is_left() -> None:
    dead = Spell(0, 1_000_000, Fault.DEAD_STORE)
    run = _run(50.0, (dead,))
    arrived = run.arrivals_us()
    first = np.count_nonzero(arrived < 1_000_000)
    expected = 0.5 * first + (len(arrived) - first)
    assert best_utility(run) == pytest.approx(expected)


def test_a_slower_tier_takes_its_factor() -> None:
    slow = Spell(0, 2_000_000, Fault.SLOWER, (Tier.FULL,), factor=10.0)
    run = _run(200.0, (slow,))
    share = best_utility(run) / len(run.arrivals_us())
    assert 0.9 <= share < 0.92  # REDUCED for nearly all
