"""The controller feeds the policy with what happened; a fake clock drives it."""

from dataclasses import replace
from typing import Any

import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import InvalidArgumentError
from stepwell.degradation.circuit_breaker import BreakerOptions, CircuitBreaker
from stepwell.degradation.controller import (
    Arrival,
    LadderController,
    LadderOptions,
    draw,
)
from stepwell.degradation.cost_estimator import CostOptions
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.tier_policy import MILLION, PolicyOptions, TierCost
from stepwell.degradation.trim import TrimOptions

CARD = {
    Tier.FULL: TierCost(8_000, 6_000),
    Tier.REDUCED: TierCost(3_000, 2_000),
    Tier.POPULAR: TierCost(300, 200),
}
LAST_DRAW = 999_999


def _ladder(
    clock: FakeClock, breakers: dict[str, CircuitBreaker] | None = None
) -> LadderController:
    options = LadderOptions(latency_budget_us=20_000, initial_fit_ppm=500_000)
    return LadderController(clock, CARD, breakers or {}, options)


def _arrival(clock: FakeClock, deadline_us: int = 100_000) -> Arrival:
    now_us = clock.monotonic_us()
    return Arrival(now_us, now_us + deadline_us, 500_000, LAST_DRAW)


def test_plans_with_the_card_until_answers_come_in() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    assert ladder.decide(_arrival(clock), 0).tier is Tier.FULL
    for _ in range(20):
        ladder.record(Tier.FULL, 15_000, _arrival(clock))
    decision = ladder.decide(_arrival(clock), 0)
    assert (decision.tier, decision.reasons) == (Tier.REDUCED, (Reason.BACKLOG,))


def test_comes_back_within_4_seconds_when_the_fault_is_gone() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    for _ in range(20):
        ladder.record(Tier.FULL, 60_000, _arrival(clock))
    clock.advance_us(3_000_000)
    assert ladder.decide(_arrival(clock), 0).tier is Tier.REDUCED
    clock.advance_us(1_100_000)
    assert ladder.decide(_arrival(clock), 0).tier is Tier.FULL


def test_an_error_of_ours_steps_down_like_the_worst_latency() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    ladder.record_failure(Tier.FULL, 10, _arrival(clock))
    assert ladder.decide(_arrival(clock), 0).tier is Tier.FULL  # one is no pattern
    ladder.record_failure(Tier.FULL, 10, _arrival(clock))
    assert ladder.decide(_arrival(clock), 0).tier is Tier.REDUCED


def test_the_time_in_the_queue_counts() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    arrival = _arrival(clock)
    clock.advance_us(5_000)
    assert ladder.decide(arrival, 1).tier is Tier.REDUCED
    clock.advance_us(95_000)
    assert ladder.decide(arrival, 0).tier is None


def test_a_short_deadline_is_the_budget() -> None:
    clock = FakeClock()
    arrival = _arrival(clock, deadline_us=7_000)
    assert _ladder(clock).budget_us(arrival) == 7_000
    assert _ladder(clock).decide(arrival, 0).tier is Tier.REDUCED


@pytest.mark.parametrize(
    ("dependency", "tier", "reason"),
    [
        ("store", Tier.POPULAR, Reason.BREAKER_STORE),
        ("index", Tier.REDUCED, Reason.BREAKER_INDEX),
        ("embeddings", Tier.REDUCED, Reason.BREAKER_EMBEDDINGS),
    ],
)
def test_an_open_breaker_blocks_the_tiers_that_need_the_dependency(
    dependency: str, tier: Tier, reason: Reason
) -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(BreakerOptions(slow_call_us=1_000))
    ladder = _ladder(clock, {dependency: breaker})
    assert ladder.decide(_arrival(clock), 0).tier is Tier.FULL
    for _ in range(10):
        permit = breaker.try_acquire(0)
        assert permit is not None
        permit.drop(0)
    decision = ladder.decide(_arrival(clock), 0)
    assert (decision.tier, decision.reasons) == (tier, (reason,))
    assert ladder.status().open_breakers == (dependency,)
    clock.advance_us(1_000_000)
    assert ladder.decide(_arrival(clock), 0).tier is Tier.FULL


@pytest.mark.parametrize(("num_waiting", "grown"), [(1, 459_000), (0, 500_000)])
def test_late_answers_shrink_f_and_early_ones_let_it_grow(
    num_waiting: int, grown: int
) -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    for _ in range(10):
        arrival = _arrival(clock)
        clock.advance_us(100_000)  # five times the budget
        ladder.record(Tier.POPULAR, 200, arrival)
    ladder.decide(_arrival(clock), 0)
    shrunk = ladder.status().fit_ppm
    assert shrunk == 450_000
    clock.advance_us(5_000_000)
    for _ in range(10):
        arrival = _arrival(clock)
        clock.advance_us(1_000)
        ladder.decide(arrival, num_waiting)
        ladder.record(Tier.POPULAR, 200, arrival)
    clock.advance_us(500_000)
    ladder.decide(_arrival(clock), num_waiting)
    assert ladder.status().fit_ppm == grown


def test_an_operator_pins_and_releases_a_tier() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    assert ladder.force(Tier.POPULAR) is None
    decision = ladder.decide(_arrival(clock), 0)
    assert (decision.tier, decision.reasons) == (Tier.POPULAR, (Reason.FORCED,))
    assert ladder.force(None) is Tier.POPULAR
    assert ladder.decide(_arrival(clock), 0).tier is Tier.FULL


def test_counts_what_it_served() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    ladder.record(Tier.FULL, 6_000, _arrival(clock))
    ladder.record(Tier.FULL, 40_000, _arrival(clock), served=Tier.POPULAR)
    ladder.release_went_live({tier: TierCost(9, 9) for tier in BEST_FIRST})
    status = ladder.status()
    assert status.num_served == {Tier.FULL: 1, Tier.REDUCED: 0, Tier.POPULAR: 1}
    assert status.costs[Tier.REDUCED] == TierCost(9, 9, is_live=False, is_sure=False)
    assert status.costs[Tier.FULL].is_live


def test_draws_are_stable_and_spread() -> None:
    assert draw("household-1") == draw("household-1")
    draws = [draw(f"user-{i}") for i in range(2_000)]
    assert all(0 <= value < 1_000_000 for value in draws)
    assert 450_000 < sum(draws) / len(draws) < 550_000


def test_without_a_release_every_decision_says_so_until_one_is_live() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    ladder.release_gone()
    assert ladder.decide(_arrival(clock), 0).reasons == (Reason.NO_RELEASE,)
    ladder.release_went_live(CARD)
    assert ladder.decide(_arrival(clock), 0).tier is Tier.FULL


def test_threads_share_the_backlog() -> None:
    clock = FakeClock()
    options = LadderOptions(20_000, initial_fit_ppm=500_000, parallelism=2)
    ladder = LadderController(clock, CARD, {}, options)
    assert ladder.decide(_arrival(clock), 2).tier is Tier.FULL
    assert ladder.decide(_arrival(clock), 3).tier is Tier.REDUCED


def test_other_options_count_from_the_next_request_on() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    former = ladder.options
    tight = replace(former, latency_budget_us=10_000, initial_fit_ppm=400_000)
    assert ladder.reconfigure(tight) == former
    assert ladder.options == tight
    assert ladder.decide(_arrival(clock), 1).tier is Tier.REDUCED  # 8 > 0.4 * 10 ms
    assert ladder.reconfigure(former) == tight
    assert ladder.decide(_arrival(clock), 1).tier is Tier.FULL


def test_f_keeps_its_place_within_new_limits() -> None:
    ladder = _ladder(FakeClock())
    ladder.reconfigure(replace(ladder.options, trim=TrimOptions(high_ppm=450_000)))
    assert ladder.status().fit_ppm == 450_000
    ladder.reconfigure(replace(ladder.options, trim=TrimOptions()))
    assert ladder.status().fit_ppm == 450_000


def test_a_window_of_another_length_starts_empty() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    for _ in range(2):
        ladder.record(Tier.FULL, 40_000, _arrival(clock))
    assert ladder.decide(_arrival(clock), 0).tier is Tier.REDUCED
    shorter = CostOptions(window_us=2_000_000)
    ladder.reconfigure(replace(ladder.options, cost=shorter))
    assert ladder.decide(_arrival(clock), 0).tier is Tier.FULL


@pytest.mark.parametrize("forced", [Tier.FULL, None])
def test_only_requests_that_f_planned_shrink_it(forced: Tier | None) -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    for _ in range(20):
        arrival = replace(_arrival(clock, 9_000 if forced is None else 200_000))
        arrival = replace(arrival, forced=forced)
        clock.advance_us(30_000)
        ladder.record(Tier.FULL, 5_000, arrival)
    clock.advance_us(500_000)
    ladder.decide(_arrival(clock), 0)
    assert ladder.status().fit_ppm == 500_000


def test_one_late_spell_shrinks_f_once_not_for_as_long_as_it_is_remembered() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    for _ in range(30):
        arrival = _arrival(clock)
        clock.advance_us(19_000)
        ladder.record(Tier.FULL, 19_000, arrival)
    for _ in range(6):
        clock.advance_us(500_000)
        ladder.decide(_arrival(clock), 0)
    assert ladder.status().fit_ppm == 450_000


@pytest.mark.parametrize(
    ("options", "changes", "field"),
    [
        (LadderOptions(), {"parallelism": 0}, "parallelism"),
        (LadderOptions(), {"latency_budget_us": 0}, "latency_budget_us"),
        (LadderOptions(), {"initial_fit_ppm": MILLION + 1}, "initial_fit_ppm"),
        (TrimOptions(), {"low_ppm": 900_000}, "high_ppm"),
        (TrimOptions(), {"up_ppm": 999_999}, "up_ppm"),
        (CostOptions(), {"window_us": 1}, "window_us"),
        (PolicyOptions(), {"probe_ppm": -1}, "probe_ppm"),
        (BreakerOptions(1), {"num_probes": 0}, "num_probes"),
    ],
)
def test_a_constant_out_of_range_is_refused_by_name(
    options: Any, changes: dict[str, int], field: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=field) as refused:
        replace(options, **changes)
    assert refused.value.field == field
