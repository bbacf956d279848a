"""The rivals do what their sources say, on latencies that are given to them."""

from collections.abc import Callable

import pytest

from stepwell.degradation.controller import Arrival
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import TierCost
from stepwell.simulation.plain import at_load
from stepwell.simulation.rivals import (
    Brownout,
    CountedCosts,
    GlobalSwitch,
    Gradient2,
    QualityFactor,
    Vegas,
)
from stepwell.simulation.scenario import Scenario
from stepwell.simulation.steering import SimulatedClock, Steering

SCENARIO = at_load(0.5)
BUDGET_US = SCENARIO.latency_budget_us


def _arrival(clock: SimulatedClock, draw: int = 500_000) -> Arrival:
    return Arrival(clock.now_us, clock.now_us + 200_000, draw, 999_999)


def _answers(
    make: Callable[[Scenario, SimulatedClock], Steering],
    latencies_us: list[int],
    every_us: int = 10_000,
) -> tuple[Steering, SimulatedClock]:
    """Has answers of these latencies end, one every `every_us`."""
    clock = SimulatedClock()
    steering = make(SCENARIO, clock)
    for latency_us in latencies_us:
        clock.now_us += every_us
        arrived_us = clock.now_us - latency_us
        arrival = Arrival(arrived_us, arrived_us + 200_000, 500_000, 999_999)
        steering.admits(arrival, 0)
        steering.decide(arrival, 0)
        steering.record(Tier.FULL, latency_us, arrival, Tier.FULL)
    return steering, clock


def test_the_switch_steps_down_for_all_and_holds() -> None:
    switch, clock = _answers(GlobalSwitch, [BUDGET_US + 5_000] * 100)
    tiers = {switch.decide(_arrival(clock, draw), 0) for draw in (0, 999_999)}
    assert tiers == {Tier.REDUCED}
    switch, clock = _answers(GlobalSwitch, [BUDGET_US + 5_000] * 100 + [1_000] * 300)
    assert switch.decide(_arrival(clock), 0) is Tier.REDUCED  # holds for 5 s
    switch, clock = _answers(GlobalSwitch, [BUDGET_US + 5_000] * 100 + [1_000] * 700)
    assert switch.decide(_arrival(clock), 0) is Tier.FULL


def test_the_dimmer_goes_down_over_its_set_point_and_up_below() -> None:
    late, clock = _answers(Brownout, [2 * BUDGET_US] * 2_000)
    assert late.decide(_arrival(clock, 999_999), 0) is not Tier.FULL
    early, clock = _answers(Brownout, [2 * BUDGET_US] * 500 + [500] * 4_000)
    assert early.decide(_arrival(clock, 0), 0) is Tier.FULL


def test_the_quality_factor_is_in_balance_at_its_percentile() -> None:
    one_in_twenty = ([1_000] * 19 + [2 * BUDGET_US]) * 50
    factor, clock = _answers(QualityFactor, one_in_twenty)
    assert factor.decide(_arrival(clock, 500_000), 0) is Tier.FULL
    factor, clock = _answers(QualityFactor, [1_000, 2 * BUDGET_US] * 50)
    assert factor.decide(_arrival(clock, 999_999), 0) is not Tier.FULL


@pytest.mark.parametrize("limit", [Vegas, Gradient2])
def test_a_limit_refuses_what_is_over_it_and_serves_full_alone(
    limit: Callable[[Scenario, SimulatedClock], Steering],
) -> None:
    clock = SimulatedClock()
    steering = limit(SCENARIO, clock)
    admitted = [steering.admits(_arrival(clock), 0) for _ in range(40)]
    assert admitted == [True] * 10 + [False] * 30
    assert steering.decide(_arrival(clock), 0) is Tier.FULL


@pytest.mark.parametrize("limit", [Vegas, Gradient2])
def test_a_limit_shrinks_as_latency_grows(
    limit: Callable[[Scenario, SimulatedClock], Steering],
) -> None:
    clock = SimulatedClock()
    steering = limit(SCENARIO, clock)

    def round_trip(latency_us: int) -> int:
        """Fills the limit, has all answered; returns how many were let in."""
        arrivals = [_arrival(clock) for _ in range(300)]
        admitted = [a for a in arrivals if steering.admits(a, 0)]
        clock.now_us += latency_us
        for arrival in admitted:
            steering.record(Tier.FULL, latency_us, arrival, Tier.FULL)
        return len(admitted)

    for _ in range(5):
        round_trip(3_000)
    slow = [round_trip(60_000) for _ in range(3)]
    assert slow[2] < slow[0]


def test_costs_by_count_keep_what_a_window_of_time_forgets() -> None:
    costs = CountedCosts({tier: TierCost(2_000, 1_000) for tier in Tier})
    for _ in range(64):
        costs.record(Tier.FULL, 90_000, 0)
    assert costs.costs(60_000_000)[Tier.FULL].p95_us == 90_000
