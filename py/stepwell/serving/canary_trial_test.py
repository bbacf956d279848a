from types import SimpleNamespace
from typing import cast

from stepwell.base.errors import InvalidArgumentError
from stepwell.base.metrics import Metrics
from stepwell.serving.canary_trial import CanaryTrial, Lender
from stepwell.serving.release_outcomes import ReleaseOutcomes
from stepwell.serving.shadow import ShadowRuns

LIVE, CANARY = 1, 2


def trial(outcomes: ReleaseOutcomes) -> CanaryTrial:
    lender = cast(Lender, SimpleNamespace(live_serial=LIVE, canary=None))
    return CanaryTrial(lender, outcomes, cast(ShadowRuns, None), Metrics())


def test_what_a_canary_fails_is_retried_after_its_trial_ended_too() -> None:
    over = trial(ReleaseOutcomes())
    assert over.is_retried(CANARY, RuntimeError("a bug"))
    assert not over.is_retried(LIVE, RuntimeError("a bug"))
    assert not over.is_retried(CANARY, InvalidArgumentError("bad", "user_id"))


def test_a_callers_mistake_is_no_failure_of_the_release() -> None:
    outcomes = ReleaseOutcomes()
    outcomes.begin(CANARY)
    running = trial(outcomes)
    running.failed(CANARY, InvalidArgumentError("bad", "user_id"))
    running.failed(CANARY, RuntimeError("a bug"))
    _, canary = outcomes.arms()
    assert (canary.num_answers, canary.num_errors) == (1, 1)
