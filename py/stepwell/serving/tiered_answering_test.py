"""A call that was taken: its tier, its answer, and what the ladder learns of it."""

import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import (
    CancelledError,
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    StepwellError,
)
from stepwell.base.metric_names import DEGRADATION_REASONS, QUEUE_SECONDS, REFUSALS
from stepwell.base.metrics import Metrics
from stepwell.degradation.controller import Arrival, LadderController
from stepwell.degradation.priority import Priority
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import TierCost, TierDecision
from stepwell.serving.answering import Answered
from stepwell.serving.call import Call
from stepwell.serving.canary_trial import CanaryFailedError
from stepwell.serving.tiered_answering import TieredAnswering

CARD = {
    Tier.FULL: TierCost(8_000, 6_000),
    Tier.REDUCED: TierCost(3_000, 2_000),
    Tier.POPULAR: TierCost(300, 200),
}


class _Bench:
    """One who answers, behind whom `ahead` wait by priority."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.ladder = LadderController(self.clock, CARD, {})
        self.ahead = dict.fromkeys(Priority, 0)
        self.takes_us = 1_000
        self.error: Exception | None = None
        self.stepped_down_to: Tier | None = None
        self.decided: list[tuple[TierDecision, int]] = []
        self.tiered = TieredAnswering(
            self.ladder, self, self._answer, self.clock, self.metrics
        )

    def num_ahead(self, priority: int) -> int:
        return self.ahead[Priority(priority)]

    def _answer(self, call: Call, decision: TierDecision, queue_us: int) -> Answered:
        self.decided.append((decision, queue_us))
        self.clock.advance_us(self.takes_us)
        if self.error is not None:
            raise self.error
        assert decision.tier is not None
        return Answered(call.user_id.encode(), self.stepped_down_to or decision.tier)

    def call(self, tier: Tier | None = None, priority: int = 0) -> Call:
        now_us = self.clock.monotonic_us()
        arrival = Arrival(
            now_us, now_us + 100_000, 0, 999_999, tier, Priority(priority)
        )
        return Call("r", "ann", 10, arrival)


def test_answers_at_the_tier_that_fits_and_remembers_what_it_took() -> None:
    bench = _Bench()
    call = bench.call()
    bench.clock.advance_us(700)
    assert bench.tiered.respond(call) == b"ann"
    assert bench.decided == [(TierDecision(Tier.FULL), 700)]
    status = bench.ladder.status()
    assert status.num_served[Tier.FULL] == 1
    assert 1_000 <= status.costs[Tier.FULL].p95_us <= 1_032
    assert bench.metrics.value(QUEUE_SECONDS) == 1


def test_who_waits_behind_it_counts_by_priority() -> None:
    bench = _Bench()
    bench.ahead = {Priority.INTERACTIVE: 5, Priority.PREFETCH: 5, Priority.BATCH: 400}
    bench.tiered.respond(bench.call())
    bench.tiered.respond(bench.call(priority=2))
    tiers = [decision.tier for decision, _ in bench.decided]
    assert tiers == [Tier.FULL, Tier.POPULAR]


def test_the_cost_is_the_decided_tiers_and_the_answer_that_of_the_one_served() -> None:
    bench = _Bench()
    bench.stepped_down_to = Tier.POPULAR
    bench.tiered.respond(bench.call())
    status = bench.ladder.status()
    assert status.num_served == {Tier.FULL: 0, Tier.REDUCED: 0, Tier.POPULAR: 1}
    assert status.costs[Tier.FULL].is_live


def test_an_expired_call_is_never_started() -> None:
    bench = _Bench()
    call = bench.call()
    bench.clock.advance_us(100_000)
    with pytest.raises(DeadlineExceededError, match="before work on it began"):
        bench.tiered.respond(call)
    assert bench.decided == []
    assert bench.metrics.value(REFUSALS, "expired") == 1


def test_without_a_release_says_so() -> None:
    bench = _Bench()
    bench.ladder.release_gone()
    with pytest.raises(FailedPreconditionError, match="no release is live"):
        bench.tiered.respond(bench.call())
    assert bench.metrics.value(REFUSALS, "no_release") == 1
    assert bench.metrics.value(DEGRADATION_REASONS, Reason.NO_RELEASE.label) == 1


def test_an_error_of_ours_raises_the_cost() -> None:
    bench = _Bench()
    bench.error = RuntimeError("a bug")
    for _ in range(2):  # one alone is no pattern
        with pytest.raises(RuntimeError, match="a bug"):
            bench.tiered.respond(bench.call())
    assert bench.ladder.status().costs[Tier.FULL].p95_us >= 50_000


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgumentError("bad", "k"),
        CancelledError("nobody waits"),
        CanaryFailedError(RuntimeError("a bug")),
    ],
)
def test_what_the_caller_or_a_small_canary_caused_costs_nothing(
    error: StepwellError,
) -> None:
    bench = _Bench()
    bench.error = error
    for _ in range(2):
        with pytest.raises(type(error)):
            bench.tiered.respond(bench.call())
    assert not bench.ladder.status().costs[Tier.FULL].is_live
