"""What the ladder tells the gate, and whom that lets in; a fake clock drives both."""

from dataclasses import replace

from stepwell.base.clock import FakeClock
from stepwell.degradation.controller import (
    PUBLISH_EVERY_US,
    Arrival,
    LadderController,
    LadderOptions,
)
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.tier_policy import TierCost
from stepwell.front.admission import Admission, AdmissionTerms

CARD = {
    Tier.FULL: TierCost(8_000, 6_000),
    Tier.REDUCED: TierCost(3_000, 2_000),
    Tier.POPULAR: TierCost(300, 200),
}
LAST_DRAW = 999_999


def _ladder(clock: FakeClock) -> LadderController:
    options = LadderOptions(latency_budget_us=20_000, initial_fit_ppm=500_000)
    return LadderController(clock, CARD, {}, options)


def _arrival(clock: FakeClock, deadline_us: int = 100_000) -> Arrival:
    now_us = clock.monotonic_us()
    return Arrival(now_us, now_us + deadline_us, 500_000, LAST_DRAW)


class _Gate:
    """The rule that lets requests in, fed by a ladder that it is attached to."""

    def __init__(self, ladder: LadderController, clock: FakeClock) -> None:
        self._admission = Admission()
        self._clock = clock
        self.terms: list[AdmissionTerms] = []
        ladder.attach(self)

    def set_terms(self, terms: AdmissionTerms) -> None:
        self.terms.append(terms)
        self._admission.set_terms(terms)

    def left(self, priority: int, is_idle: bool) -> None:
        self._admission.left(priority, is_idle, self._clock.monotonic_us())

    def admits(self, arrival: Arrival, num_ahead: int) -> bool:
        now_us = self._clock.monotonic_us()
        return self._admission.admits(
            arrival.priority,
            now_us - arrival.arrived_us,
            arrival.deadline_us - arrival.arrived_us,
            arrival.forced is not None,
            num_ahead,
            now_us,
        )

    def pushback_ms(self, num_ahead: int) -> int:
        return self._admission.pushback_ms(num_ahead)


def test_admits_until_even_popular_would_be_late() -> None:
    clock = FakeClock()
    gate = _Gate(_ladder(clock), clock)
    assert gate.admits(_arrival(clock), 499)
    assert not gate.admits(_arrival(clock), 500)
    assert gate.pushback_ms(500) == 100


def test_a_few_slow_popular_answers_refuse_nobody() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    for service_us in (200, 200, 5_000_000) * 10:  # a pause of the process
        ladder.record(Tier.POPULAR, service_us, _arrival(clock))
    assert _Gate(ladder, clock).admits(_arrival(clock), 5)


def test_one_bad_popular_answer_refuses_nobody() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    gate = _Gate(ladder, clock)
    ladder.record_failure(Tier.POPULAR, 90_000, _arrival(clock))
    for _ in range(18):
        ladder.record(Tier.POPULAR, 90_000, _arrival(clock))
    ladder.publish_terms()
    assert gate.admits(_arrival(clock, deadline_us=3_000), 0)
    ladder.record(Tier.POPULAR, 90_000, _arrival(clock))
    clock.advance_us(10_000)  # costs are so old at most
    ladder.publish_terms()
    assert not gate.admits(_arrival(clock, deadline_us=3_000), 0)


def test_who_refuses_everybody_forgets_in_time_what_made_it_refuse() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    gate = _Gate(ladder, clock)
    for _ in range(20):
        ladder.record(Tier.POPULAR, 90_000, _arrival(clock))
    clock.advance_us(10_000)
    ladder.publish_terms()
    assert not gate.admits(_arrival(clock, deadline_us=3_000), 0)
    clock.advance_us(5_000_000)  # nobody was let in: nothing has left the queue
    ladder.publish_terms()
    assert gate.admits(_arrival(clock, deadline_us=3_000), 0)


def test_the_gate_hears_of_new_terms_at_once_and_of_new_costs_in_a_few_ms() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    gate = _Gate(ladder, clock)
    (first,) = gate.terms
    assert (first.budget_us, first.popular_mean_us) == (20_000, 200)
    for _ in range(PUBLISH_EVERY_US // 1_000):
        clock.advance_us(1_000)
        ladder.decide(_arrival(clock), 3)
    assert len(gate.terms) == 2
    ladder.reconfigure(replace(ladder.options, latency_budget_us=30_000))
    assert gate.terms[-1].budget_us == 30_000
    dearer = {tier: TierCost(9_000, 7_000) for tier in BEST_FIRST}
    ladder.release_went_live(dearer)
    assert gate.terms[-1].popular_mean_us == 7_000


def _busy(ladder: LadderController, clock: FakeClock, for_us: int) -> None:
    """Requests leave a queue that always holds others."""
    ladder.decide(_arrival(clock), 0)
    for _ in range(for_us // 1_000):
        clock.advance_us(1_000)
        ladder.decide(_arrival(clock), 40)


def test_a_burst_fills_the_queue_up_to_the_deadline_a_standing_one_to_the_budget() -> (
    None
):
    clock = FakeClock()
    ladder = _ladder(clock)
    gate = _Gate(ladder, clock)
    _busy(ladder, clock, for_us=50_000)
    assert gate.admits(_arrival(clock), 60)  # the pace is a millisecond
    _busy(ladder, clock, for_us=400_000)
    assert not gate.admits(_arrival(clock), 60)
    assert gate.admits(_arrival(clock), 8)
    for _ in range(30):
        clock.advance_us(1_000)
        ladder.decide(_arrival(clock), 0)
    assert gate.admits(_arrival(clock), 60)


def test_a_standing_queue_is_judged_by_its_pace_where_that_is_slower() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    gate = _Gate(ladder, clock)
    for _ in range(450):
        clock.advance_us(1_000)  # each takes 1 ms of the server, 0.2 ms of them work
        late_us = clock.monotonic_us() - 9_000
        ladder.decide(replace(_arrival(clock), arrived_us=late_us), 40)
    assert gate.admits(_arrival(clock), 9)
    assert not gate.admits(_arrival(clock), 10)
    assert gate.pushback_ms(30) == 30


def test_after_a_pause_of_the_process_nobody_is_refused_who_can_be_answered() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    gate = _Gate(ladder, clock)
    ladder.decide(_arrival(clock), 0)
    came_meanwhile = [_arrival(clock, 300_000) for _ in range(30)]
    clock.advance_us(250_000)
    assert all(gate.admits(arrival, 0) for arrival in came_meanwhile)


def test_a_server_that_is_busy_with_better_tiers_does_not_stand() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    gate = _Gate(ladder, clock)
    for _ in range(300):  # always somebody in the queue, nobody waits for POPULAR
        clock.advance_us(1_000)
        assert gate.admits(_arrival(clock), 4)
        ladder.decide(_arrival(clock), 4)
    old = replace(_arrival(clock), arrived_us=clock.monotonic_us() - 19_900)
    assert gate.admits(old, 4)


def test_what_better_tiers_were_waited_for_is_soon_forgotten_in_calm() -> None:
    clock = FakeClock()
    ladder = _ladder(clock)
    gate = _Gate(ladder, clock)
    for number in range(4_000):  # a third at POPULAR: waited for, and no flood
        clock.advance_us(1_000)
        ladder.decide(_arrival(clock), 40 if number % 3 == 0 else 1)
    for _ in range(60):
        clock.advance_us(1_000)
        ladder.decide(_arrival(clock), 0)
    ladder.force(Tier.POPULAR)
    for _ in range(50):  # POPULAR is what is served now, for less than makes it stand
        for _ in range(10):
            ladder.decide(_arrival(clock), 40)
        clock.advance_us(1_000)
    assert gate.admits(_arrival(clock), 60)
