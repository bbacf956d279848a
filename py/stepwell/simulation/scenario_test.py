"""Arrivals follow the rate and the seed; costs and spells are what they say."""

from dataclasses import replace

import numpy as np
import pytest

from stepwell.degradation.tier import Tier
from stepwell.simulation.plain import PLAIN_SERVER, at_load, mended, plain
from stepwell.simulation.scenario import Fault, ServerModel, TierWork


def test_the_same_seed_has_the_same_arrivals_and_another_has_others() -> None:
    first, again = at_load(0.5), at_load(0.5)
    assert (first.arrivals_us() == again.arrivals_us()).all()
    other = replace(first, seed=2).arrivals_us()
    assert not np.array_equal(first.arrivals_us()[:50], other[:50])


def test_arrivals_follow_the_rate() -> None:
    run = plain("half", 20.0, lambda at: np.where(at < 10.0, 100.0, 300.0))
    arrived = run.arrivals_us()
    assert (np.diff(arrived) >= 0).all()
    first = np.count_nonzero(arrived < 10_000_000)
    assert first == pytest.approx(1_000, rel=0.1)
    assert len(arrived) - first == pytest.approx(3_000, rel=0.1)


def test_a_batch_shares_its_fixed_cost() -> None:
    work = dict.fromkeys(Tier, TierWork(fixed_us=800, item_us=100))
    server = ServerModel(work, processes=2, threads=3, batch_size=4)
    assert server.mean_us(Tier.FULL) == (800 + 4 * 100) / 4
    assert server.mean_us(Tier.POPULAR) == 900  # never batched
    assert server.capacity(Tier.FULL) == 6 * 1e6 / 300


def test_the_card_tells_the_cost_of_a_full_batch_and_its_error() -> None:
    right, wrong = PLAIN_SERVER.card(), PLAIN_SERVER.card(error=2.0)
    assert right[Tier.FULL].mean_us == 3_000
    assert right[Tier.FULL].p95_us > 1.3 * right[Tier.FULL].mean_us
    assert wrong[Tier.FULL].mean_us == 6_000
    assert not right[Tier.FULL].is_live


def test_a_spell_is_on_from_its_start_and_off_at_its_end() -> None:
    run = mended()
    assert run.spell_at(5_999_999) is None
    spell = run.spell_at(6_000_000)
    assert spell is not None
    assert spell.fault is Fault.SLOWER
    assert run.spell_at(12_000_000) is None
