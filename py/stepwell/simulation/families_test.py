"""The kinds of runs: drawn from a seed, and never more than POPULAR can answer."""

import numpy as np
import pytest

from stepwell.degradation.tier import Tier
from stepwell.simulation.families import FAMILIES, any_scenario, ramped, stepped, waved


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("seed", [0, 17])
def test_a_run_is_its_seed_and_can_be_answered(kind: str, seed: int) -> None:
    run, again = FAMILIES[kind](seed), FAMILIES[kind](seed)
    assert run.server == again.server
    assert run.spells == again.spells
    assert (run.arrivals_us() == again.arrivals_us()).all()
    at = np.linspace(0, run.seconds, 200)
    assert run.rate(at).max() <= 0.601 * run.server.capacity(Tier.POPULAR)
    assert 200 <= len(run.arrivals_us()) <= 20_000
    worth = [run.utility[tier] for tier in (Tier.FULL, Tier.REDUCED, Tier.POPULAR)]
    assert worth == sorted(worth, reverse=True)


def test_kinds_take_turns() -> None:
    names = [any_scenario(seed).name for seed in range(2 * len(FAMILIES))]
    assert names == [*FAMILIES] * 2


def test_rates_have_the_shapes_they_say() -> None:
    at = np.array([0.0, 2.5, 5.0, 7.5, 10.0])
    assert stepped(1, 3, 2.0, 6.0)(at).tolist() == [1, 3, 3, 1, 1]
    assert ramped(1, 3, 10.0)(at).tolist() == [1, 2, 3, 2, 1]
    assert waved(1, 3, 10.0)(at).round(6).tolist() == [2, 3, 2, 1, 2]
