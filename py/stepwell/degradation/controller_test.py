"""The controller feeds the policy with what happened; a fake clock drives it."""

import pytest

from stepwell.base.clock import FakeClock
from stepwell.degradation.circuit_breaker import BreakerOptions, CircuitBreaker
from stepwell.degradation.controller import (
    Arrival,
    LadderController,
    LadderOptions,
    draw,
)
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.tier_policy import TierCost

CARD = {
    Tier.FULL: TierCost(8_000, 6_000),
    Tier.REDUCED: TierCost(3_000, 2_000),
    Tier.POPULAR: TierCost(300, 200),
}
LAST_DRAW = 999_999


def _ladder(
    clock: FakeClock, breakers: dict[str, CircuitBreaker] | None = None
) -> LadderController:
    options = LadderOptions(latency_budget_us=20_000)
    return LadderController(clock, CARD, breakers or {}, options)


def _arrival(clock: FakeClock, deadline_us: int = 100_000) -> Arrival:
    now_us = clock.monotonic_us()
    return Arrival(now_us, now_us + deadline_us, 500_000, LAST_DRAW)


def test_plans_with_the_card_until_answers_come_in() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    assert ladder.decide(_arrival(clock), 0).tier is Tier.FULL
    for _ in range(5):
        ladder.record(Tier.FULL, 15_000, _arrival(clock))
    decision = ladder.decide(_arrival(clock), 0)
    assert (decision.tier, decision.reasons) == (Tier.REDUCED, (Reason.BACKLOG,))


def test_comes_back_within_4_seconds_when_the_fault_is_gone() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    ladder.record(Tier.FULL, 60_000, _arrival(clock))
    clock.advance_us(3_000_000)
    assert ladder.decide(_arrival(clock), 0).tier is Tier.REDUCED
    clock.advance_us(1_100_000)
    assert ladder.decide(_arrival(clock), 0).tier is Tier.FULL


def test_an_error_of_ours_steps_down_like_the_worst_latency() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    ladder.record_failure(Tier.FULL, 10, _arrival(clock))
    assert ladder.decide(_arrival(clock), 0).tier is Tier.REDUCED


def test_the_time_in_the_queue_counts() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    arrival = _arrival(clock)
    clock.advance_us(5_000)
    assert ladder.decide(arrival, 0).tier is Tier.REDUCED
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


def test_late_answers_shrink_f_and_early_ones_let_it_grow() -> None:
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
        ladder.record(Tier.POPULAR, 200, arrival)
    ladder.decide(_arrival(clock), 0)
    assert ladder.status().fit_ppm == 459_000


def test_an_operator_pins_and_releases_a_tier() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    assert ladder.force(Tier.POPULAR) is None
    decision = ladder.decide(_arrival(clock), 0)
    assert (decision.tier, decision.reasons) == (Tier.POPULAR, (Reason.FORCED,))
    assert ladder.force(None) is Tier.POPULAR
    assert ladder.decide(_arrival(clock), 0).tier is Tier.FULL


def test_admits_until_even_popular_would_be_late() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    assert ladder.admits(_arrival(clock), num_ahead=498)
    assert not ladder.admits(_arrival(clock), num_ahead=499)
    assert ladder.retry_after_ms(500) == 100


def test_one_bad_popular_answer_refuses_nobody() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    ladder.record_failure(Tier.POPULAR, 90_000, _arrival(clock))
    assert ladder.admits(_arrival(clock, deadline_us=3_000), num_ahead=0)
    for _ in range(18):
        ladder.record(Tier.POPULAR, 90_000, _arrival(clock))
    assert ladder.admits(_arrival(clock, deadline_us=3_000), num_ahead=0)
    ladder.record(Tier.POPULAR, 90_000, _arrival(clock))
    assert not ladder.admits(_arrival(clock, deadline_us=3_000), num_ahead=0)


def test_counts_what_it_served() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    ladder.record(Tier.FULL, 6_000, _arrival(clock))
    ladder.record(Tier.FULL, 40_000, _arrival(clock), served=Tier.POPULAR)
    ladder.release_went_live({tier: TierCost(9, 9) for tier in BEST_FIRST})
    status = ladder.status()
    assert status.num_served == {Tier.FULL: 1, Tier.REDUCED: 0, Tier.POPULAR: 1}
    assert status.costs[Tier.REDUCED] == TierCost(9, 9, is_live=False)
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
