import math

import numpy as np
import pytest

from stepwell.experiments.always_valid import MIN_UNITS
from stepwell.experiments.panel import (
    LookOptions,
    Members,
    Occasions,
    Panel,
    looks,
)
from stepwell.experiments.ratio_metric import RatioSums

NUM_USERS, NUM_SLATES = 600, 12_000


def occasions_of(lift: float, treated: Members, seed: int = 5) -> Occasions:
    """Slates of users of unlike taste, over 10,000 seconds."""
    rng = np.random.default_rng(seed)
    users = (NUM_USERS * rng.random(NUM_SLATES) ** 2).astype(np.int64)
    taste = rng.beta(2, 8, NUM_USERS) * np.where(treated, 1 + lift, 1.0)
    clicks = (rng.random(NUM_SLATES) < taste[users]).astype(np.float64)
    times = rng.integers(0, 10_000, NUM_SLATES)
    return Occasions(users, times, clicks, np.ones(NUM_SLATES))


TIMES = np.arange(99, 10_000, 100)
HALF = np.arange(NUM_USERS) % 2 == 1
BEFORE = np.random.default_rng(2).random((NUM_USERS, 2))


def test_a_look_has_what_came_up_to_it_and_nothing_more() -> None:
    occasions = occasions_of(0.0, HALF)
    panel = Panel.of(occasions, BEFORE, TIMES)
    (sums,) = panel.sums(HALF[None])
    for place in (0, 1, 50, 99):
        known = (occasions.times <= TIMES[place]) & HALF[occasions.users]
        users = occasions.users[known]
        clicks = np.bincount(users, occasions.y[known], NUM_USERS)
        slates = np.bincount(users, occasions.x[known], NUM_USERS)
        expected = RatioSums.of(clicks, slates)
        found, past = sums[place], BEFORE[HALF & (slates > 0)]
        assert found.ratio.num_units == expected.num_units
        assert found.ratio.ratio == pytest.approx(expected.ratio)
        assert found.ratio.variance == pytest.approx(expected.variance)
        assert found.c == pytest.approx(past.sum(axis=0))
        assert found.cy == pytest.approx(BEFORE.T @ clicks)
        assert found.cx == pytest.approx(BEFORE.T @ slates)
        assert found.cc == pytest.approx(past.T @ past)


def looks_at(lift: float, treated: Members, options: LookOptions) -> list[float]:
    panel = Panel.of(occasions_of(lift, treated), BEFORE, TIMES)
    control, other = panel.sums(np.stack([~treated, treated]))
    return [look.p_value for look in looks(TIMES, control, other, options)]


def test_a_true_difference_is_found_and_stays_found() -> None:
    found = looks_at(0.8, HALF, LookOptions(0.01, 0.1))
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.01


def test_too_few_users_find_nothing() -> None:
    few = np.arange(NUM_USERS) < MIN_UNITS - 1
    assert looks_at(5.0, few, LookOptions())[-1] == 1.0


def test_continuous_peeking_at_no_difference_keeps_the_false_alarms() -> None:
    panel = Panel.of(occasions_of(0.0, HALF), BEFORE, TIMES)
    rng = np.random.default_rng(9)
    members = rng.random((300, NUM_USERS)) < 0.5
    options, alarms, naive = LookOptions(alpha=0.05, expected_effect=0.1), 0, 0
    for control, treated in zip(panel.sums(members), panel.sums(~members), strict=True):
        found = looks(TIMES, control, treated, options)
        alarms += found[-1].p_value <= options.alpha
        gaps = [look.difference for look in found if not math.isnan(look.half_width)]
        naive += any(abs(g.effect) > 1.96 * math.sqrt(g.variance) for g in gaps)
    assert alarms / 300 <= options.alpha
    assert naive / 300 > 2 * options.alpha


def test_the_interval_leaves_zero_out_when_a_look_alone_finds_a_difference() -> None:
    panel = Panel.of(occasions_of(0.8, HALF), BEFORE, TIMES)
    control, treated = panel.sums(np.stack([~HALF, HALF]))
    options = LookOptions(0.01, 0.1)
    for look in looks(TIMES, control, treated, options):
        if abs(look.difference.effect) > look.half_width:
            assert look.p_value <= options.alpha
