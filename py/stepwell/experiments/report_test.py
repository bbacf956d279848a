from dataclasses import replace

import numpy as np
import pytest

from stepwell.base.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from stepwell.experiments.exposed_slates import GUARDRAILS, OUTCOMES, ExposedSlates
from stepwell.experiments.panel import LookOptions
from stepwell.experiments.report import (
    Comparison,
    ExperimentReport,
    ReportOptions,
    report_of,
)

NUM_USERS, NUM_SLATES = 1_200, 24_000


def slates_of(
    lift: float = 0.0, popular: float = 0.0, shares: tuple[float, ...] = (0.5, 0.5)
) -> ExposedSlates:
    """Users whose past tells their taste; arm "wide" clicks and degrades more."""
    rng = np.random.default_rng(3)
    arms = rng.choice(len(shares), NUM_USERS, p=shares)
    is_wide = arms == 1
    taste = rng.beta(2, 8, NUM_USERS)
    users = rng.integers(0, NUM_USERS, NUM_SLATES)
    clicks = rng.random(NUM_SLATES) < (taste * (1 + lift * is_wide))[users]
    degraded = rng.random(NUM_SLATES) < (0.1 + popular * is_wide)[users]
    values = dict.fromkeys((*OUTCOMES, *GUARDRAILS), np.zeros(NUM_SLATES))
    values["clicked_slates"] = values["clicks"] = clicks.astype(np.float64)
    values["popular_tier"] = degraded.astype(np.float64)
    values["full_tier"] = 1 - values["popular_tier"]
    return ExposedSlates(
        arm_names=("control", "wide", "third")[: len(shares)],
        arms=arms,
        before=np.log1p(rng.binomial(40, taste))[:, None],
        users=users,
        times=rng.integers(1_000, 9_000, NUM_SLATES),
        values=values,
    )


OPTIONS = ReportOptions(looks=LookOptions(alpha=0.01, expected_effect=0.1))


def of_metric(report: ExperimentReport, metric: str, arm: str = "wide") -> Comparison:
    return next(
        one for one in report.comparisons if (one.arm, one.metric) == (arm, metric)
    )


def test_a_lift_is_found_with_its_size_and_the_past_makes_it_surer() -> None:
    report = report_of(slates_of(lift=0.3), OPTIONS)
    found = of_metric(report, "clicked_slates")
    assert found.relative == pytest.approx(0.3, abs=0.08)
    assert found.looks[-1].p_value < 0.01
    assert found.at_end.p_value < 1e-6
    assert found.adjusted.half_width < found.at_end.half_width
    assert found.variance_kept < 0.8
    # What always holds is wider than what holds once.
    assert found.looks[-1].half_width > found.adjusted.half_width
    assert found.looks[-1].difference.effect == pytest.approx(found.adjusted.effect)


def test_arms_that_are_the_same_differ_in_nothing() -> None:
    report = report_of(slates_of(), OPTIONS)
    assert not report.has_mismatch
    assert all(one.looks[-1].p_value > 0.01 for one in report.comparisons)
    assert not any(one.is_worse for one in report.comparisons)
    nothing = of_metric(report, "purchases")
    assert (nothing.value, nothing.looks[-1].p_value) == (0.0, 1.0)


def test_a_guardrail_that_is_surely_worse_says_so() -> None:
    report = report_of(slates_of(popular=0.1), OPTIONS)
    worse = {one.metric for one in report.comparisons if one.is_worse}
    assert worse == {"full_tier", "popular_tier"}
    better = report_of(slates_of(popular=-0.1), OPTIONS)
    assert not any(one.is_worse for one in better.comparisons)


def test_a_guardrail_that_is_rare_is_found_by_points_not_by_parts() -> None:
    slates = slates_of()
    rare = np.random.default_rng(8).random(NUM_SLATES) < np.where(
        slates.arm("wide")[slates.users], 0.0065, 0.002
    )
    values = {**slates.values, "empty_slates": rare.astype(np.float64)}
    report = report_of(replace(slates, values=values), OPTIONS)
    assert {one.metric for one in report.comparisons if one.is_worse} == {
        "empty_slates"
    }


def test_arms_of_another_size_than_dealt_are_a_mismatch() -> None:
    slates = slates_of(shares=(0.4, 0.6))
    equal = replace(OPTIONS, shares={"wide": 5_000, "control": 5_000})
    assert report_of(slates, equal).has_mismatch
    dealt = replace(OPTIONS, shares={"wide": 6_000, "control": 4_000, "new": 1})
    assert not report_of(slates, dealt).has_mismatch


def test_an_arm_of_which_nobody_was_seen_is_a_mismatch() -> None:
    """Those who were seen are as they were dealt to each other."""
    dealt = replace(OPTIONS, shares={"third": 3, "wide": 3, "control": 3})
    report = report_of(slates_of(), dealt)
    assert report.has_mismatch
    assert [arm.name for arm in report.arms] == ["control", "wide", "third"]
    assert report.arms[-1].num_users == 0
    assert {one.arm for one in report.comparisons} == {"wide"}


def test_without_shares_nothing_is_said_of_the_arms_sizes() -> None:
    report = report_of(slates_of(shares=(0.9, 0.1)), OPTIONS)
    assert report.sample_ratio_p_value is None
    assert not report.has_mismatch


def test_every_arm_stands_beside_the_control_that_is_asked_for() -> None:
    slates = slates_of(shares=(0.3, 0.4, 0.3))
    report = report_of(slates, OPTIONS)
    assert [arm.name for arm in report.arms] == ["control", "third", "wide"]
    assert sum(arm.num_users for arm in report.arms) == NUM_USERS
    assert sum(arm.num_slates for arm in report.arms) == NUM_SLATES
    assert {one.arm for one in report.comparisons} == {"third", "wide"}
    other = report_of(slates, replace(OPTIONS, control="wide"))
    assert [arm.name for arm in other.arms] == ["wide", "control", "third"]


def test_refuses_what_cannot_be_compared() -> None:
    slates = slates_of()
    with pytest.raises(FailedPreconditionError, match="two arms"):
        report_of(replace(slates, arm_names=("control",)), OPTIONS)
    with pytest.raises(NotFoundError, match="'other'"):
        report_of(slates, replace(OPTIONS, control="other"))
    with pytest.raises(InvalidArgumentError, match="'wide' was seen"):
        report_of(slates, replace(OPTIONS, shares={"control": 1}))
