"""The ladder's rule over simulated minutes: overload, recovery, no flapping.

The policy is the one that serves; only time and service times are made up.
"""

import statistics

import pytest

from degradation.simulation import (
    BUDGET_US,
    MEAN_US,
    UTILITY,
    Outcome,
    Simulation,
)
from stepwell.degradation.tier import Tier

FULL_CAPACITY = 1e6 / MEAN_US[Tier.FULL]
REDUCED_CAPACITY = 1e6 / MEAN_US[Tier.REDUCED]


def _share(outcomes: list[Outcome], tier: Tier) -> float:
    return sum(outcome.tier is tier for outcome in outcomes) / len(outcomes)


def _in_budget(outcomes: list[Outcome]) -> float:
    good = [o for o in outcomes if o.tier is not None and o.latency_us <= BUDGET_US]
    return len(good) / len(outcomes)


def _utility(outcomes: list[Outcome]) -> float:
    gained = [UTILITY[o.tier] for o in outcomes if o.tier is not None]
    return sum(gained) / len(outcomes)


def _best_mix(rate: float) -> float:
    """Utility a request of the best mix of two neighbouring tiers at this rate."""
    per_request_us = 1e6 / rate
    best = UTILITY[Tier.POPULAR]
    for better in (Tier.FULL, Tier.REDUCED):
        for worse in (Tier.REDUCED, Tier.POPULAR):
            gap_us = MEAN_US[better] - MEAN_US[worse]
            spare_us = per_request_us - MEAN_US[worse]
            if gap_us > 0 and spare_us > 0:
                part = min(spare_us / gap_us, 1.0)
                mixed = part * UTILITY[better] + (1 - part) * UTILITY[worse]
                best = max(best, mixed)
    return best


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("load", "wanted"), [(0.5, 0.98), (0.8, 0.90)])
def test_a_load_that_full_can_take_is_served_full(
    load: float, wanted: float, seed: int
) -> None:
    rate = load * FULL_CAPACITY
    outcomes = Simulation(seed, 20, lambda now_us: rate).run().outcomes
    assert _in_budget(outcomes) >= 0.999
    # Each lower tier is exercised by half a percent; queues do the rest.
    assert _share(outcomes, Tier.FULL) >= wanted


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("load", [1.5, 3.0])
def test_overload_costs_quality_and_not_time(load: float, seed: int) -> None:
    rate = load * FULL_CAPACITY
    outcomes = Simulation(seed, 20, lambda now_us: rate).run().outcomes
    assert _in_budget(outcomes) >= 0.995
    assert _utility(outcomes) >= 0.9 * _best_mix(rate)


def test_is_full_again_within_5_seconds_of_the_end_of_an_overload() -> None:
    def rate(now_us: int) -> float:
        burst = 10_000_000 <= now_us < 20_000_000
        return (3.0 if burst else 0.5) * FULL_CAPACITY

    outcomes = Simulation(4, 40, rate).run().outcomes
    after = [o for o in outcomes if o.arrived_us >= 25_000_000]
    assert _share(after, Tier.FULL) >= 0.95
    assert _in_budget(outcomes) >= 0.995


def test_forgets_a_six_times_slower_model_within_5_seconds_of_its_mending() -> None:
    def slowdown(now_us: int) -> float:
        return 6.0 if 10_000_000 <= now_us < 20_000_000 else 1.0

    rate = 0.8 * FULL_CAPACITY
    outcomes = Simulation(5, 40, lambda now_us: rate, slowdown).run().outcomes
    during = [o for o in outcomes if 12_000_000 <= o.arrived_us < 20_000_000]
    after = [o for o in outcomes if o.arrived_us >= 25_000_000]
    assert _share(during, Tier.FULL) <= 0.2
    assert _share(after, Tier.FULL) >= 0.95


def test_at_the_edge_of_capacity_the_share_of_full_does_not_swing() -> None:
    outcomes = Simulation(6, 60, lambda now_us: 1.05 * FULL_CAPACITY).run().outcomes
    seconds = [
        [o for o in outcomes if second <= o.arrived_us / 1e6 < second + 1]
        for second in range(5, 60)
    ]
    shares = [_share(second, Tier.FULL) for second in seconds]
    assert statistics.pstdev(shares) <= 0.15
    assert min(shares) > 0.2
