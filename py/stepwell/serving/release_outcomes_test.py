from dataclasses import replace

import numpy as np
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.latency_histogram import bucket_of
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.experiments.arm_outcomes import score_bin
from stepwell.pipeline.candidate import CandidateSet, RankedSet
from stepwell.pipeline.query import Query
from stepwell.pipeline.slate import Slate
from stepwell.serving import release_outcomes
from stepwell.serving.release_outcomes import MAX_RESPONSES, ReleaseOutcomes

LIVE, CANARY = 1, 2
CLOCK = FakeClock()


def query(request_id: str = "r", num_items: int = 3, user_id: str = "ann") -> Query:
    deadline = Deadline.after_us(CLOCK, 1)
    return Query(request_id, user_id, num_items, 0, deadline)


def slate(
    *scores: float,
    tier: Tier = Tier.FULL,
    service_us: int = 5_000,
    reasons: tuple[Reason, ...] = (),
) -> Slate:
    total = np.array(scores, np.float32)
    ranked = RankedSet(
        CandidateSet.of_rows(np.arange(len(total))),
        total,
        np.outer(total, np.array([0.5, 1.0], np.float32)),
    )
    stage_us = {"hydrate": service_us // 2, "ranking": service_us - service_us // 2}
    return Slate(ranked, tier, reasons, stage_us=stage_us)


@pytest.fixture
def outcomes() -> ReleaseOutcomes:
    begun = ReleaseOutcomes()
    begun.begin(CANARY)
    return begun


def test_an_answer_counts_for_the_release_that_gave_it(
    outcomes: ReleaseOutcomes,
) -> None:
    outcomes.answered(CANARY, query(), slate(0.5, 0.25, 0.15), Tier.FULL)
    live, canary = outcomes.arms()
    assert (live.num_answers, canary.num_answers) == (0, 1)
    assert canary.num_users == 1
    assert canary.latencies[bucket_of(5_000)] == 1
    assert canary.scores[score_bin(0.3)] == 1
    assert canary.predicted.sum() == pytest.approx(0.45)
    assert not canary.short.any()
    assert not canary.flat.any()


def test_what_is_odd_about_a_slate_is_counted(outcomes: ReleaseOutcomes) -> None:
    outcomes.answered(CANARY, query(), slate(0.5, -np.inf, 0.1), Tier.FULL)
    outcomes.answered(CANARY, query(), slate(0.5, 0.5, 0.5), Tier.FULL)
    outcomes.answered(CANARY, query(), slate(0.5, 0.4), Tier.FULL)
    outcomes.answered(CANARY, query(), slate(), Tier.FULL)
    late = slate(0.5, 0.4, 0.3, tier=Tier.REDUCED, reasons=(Reason.DEADLINE_RANKING,))
    outcomes.answered(CANARY, query(), late, Tier.FULL)
    outcomes.failed(CANARY)
    _, canary = outcomes.arms()
    assert canary.num_answers == 6
    assert canary.num_non_finite == 1
    assert canary.flat.sum() == 1
    assert canary.short.sum() == 2
    assert canary.num_late == 1
    assert canary.num_errors == 1
    # Only FULL answers are timed and their scores compared.
    assert canary.latencies.sum() == canary.scores.sum() == 2


def test_answers_from_memory_say_nothing_of_models(outcomes: ReleaseOutcomes) -> None:
    outcomes.answered(CANARY, query(), slate(0.5, 0.5, tier=Tier.POPULAR), Tier.FULL)
    _, canary = outcomes.arms()
    assert canary.num_answers == 1
    assert canary.num_users == 0
    assert not canary.flat.any()


@pytest.mark.parametrize(
    ("answer", "decided", "is_degraded"),
    [
        (slate(0.5), Tier.FULL, False),
        (slate(0.5, tier=Tier.POPULAR), Tier.POPULAR, False),  # nothing else was asked
        (slate(0.5, tier=Tier.POPULAR), Tier.FULL, True),
        (slate(0.5, tier=Tier.REDUCED), Tier.FULL, True),
        (replace(slate(0.5), coverage=0.8), Tier.FULL, True),
        (
            slate(0.5, tier=Tier.REDUCED, reasons=(Reason.DEADLINE_RANKING,)),
            Tier.FULL,
            False,  # it is late, which another rule is for
        ),
    ],
    ids=["full", "decided", "popular", "reduced", "coverage", "late"],
)
def test_an_answer_below_what_was_decided_is_degraded(
    outcomes: ReleaseOutcomes, answer: Slate, decided: Tier, is_degraded: bool
) -> None:
    outcomes.answered(CANARY, query(), answer, decided)
    _, canary = outcomes.arms()
    assert canary.answered.sum() == 1
    assert canary.degraded.sum() == is_degraded


def test_responses_count_for_the_arm_that_was_shown(
    outcomes: ReleaseOutcomes,
) -> None:
    outcomes.answered(LIVE, query("of-live"), slate(0.3), Tier.FULL)
    outcomes.answered(CANARY, query("of-canary"), slate(0.3), Tier.FULL)
    for request_id in ("of-canary", "of-live", "of-canary", "of-nobody"):
        outcomes.responded(request_id)
    live, canary = outcomes.arms()
    assert (live.responses.sum(), canary.responses.sum()) == (1, 2)
    # They lie where the slate does.
    assert np.array_equal(canary.responses > 0, canary.slates > 0)


def test_one_slate_has_so_many_responses_and_no_more(
    outcomes: ReleaseOutcomes,
) -> None:
    outcomes.answered(CANARY, query(), slate(0.3), Tier.FULL)
    for _ in range(MAX_RESPONSES + 5):
        outcomes.responded("r")
    assert outcomes.arms()[1].responses.sum() == MAX_RESPONSES


def test_slates_that_wait_for_responses_are_bounded(
    outcomes: ReleaseOutcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_outcomes, "MAX_WAITING", 2)
    for number in range(3):
        outcomes.answered(CANARY, query(f"r{number}"), slate(0.3), Tier.FULL)
    for number in range(3):
        outcomes.responded(f"r{number}")
    assert outcomes.arms()[1].responses.sum() == 2


def test_a_new_trial_forgets_the_one_before(outcomes: ReleaseOutcomes) -> None:
    outcomes.answered(CANARY, query(), slate(0.3), Tier.FULL)
    outcomes.begin(3)
    outcomes.responded("r")
    assert [arm.num_answers for arm in outcomes.arms()] == [0, 0]
    outcomes.end()
    outcomes.answered(3, query(), slate(0.3), Tier.FULL)
    outcomes.failed(3)
    assert [arm.num_answers for arm in outcomes.arms()] == [0, 0]


def test_what_was_read_does_not_change_later(outcomes: ReleaseOutcomes) -> None:
    outcomes.answered(CANARY, query(), slate(0.3), Tier.FULL)
    _, before = outcomes.arms()
    outcomes.answered(CANARY, query(), slate(0.3), Tier.FULL)
    assert before.slates.sum() == before.latencies.sum() == 1
