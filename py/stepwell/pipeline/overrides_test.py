import math

import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.degradation.tier import Tier
from stepwell.pipeline.overrides import OVERRIDABLE, PlanOverrides
from stepwell.pipeline.planner import Planner

ALL = {
    "ef_search": 128,
    "num_candidates": 300,
    "diversity_lambda": 0.4,
    "freshness_weight": 1.5,
    "source_limits.ann": 50,
    "source_limits.popular": 0,
}


def test_what_is_overridden_is_in_the_plan_and_the_rest_is_the_tiers_own() -> None:
    own = Planner().plan(Tier.FULL, 50_000)
    plan = Planner().plan(Tier.FULL, 50_000, PlanOverrides.of(ALL))
    assert own is not None
    assert plan is not None
    assert (plan.ef_search, plan.num_candidates) == (128, 300)
    assert (plan.diversity_lambda, plan.freshness_weight) == (0.4, 1.5)
    assert plan.source_limits["ann"] == 50
    assert "popular" not in plan.source_limits  # asked for nothing is not asked
    assert plan.source_limits["history"] == own.source_limits["history"]
    assert (plan.scorer, plan.budgets) == (own.scorer, own.budgets)


@pytest.mark.parametrize("name", sorted(set(OVERRIDABLE) - set(ALL)))
def test_every_setting_reaches_the_plan(name: str) -> None:
    own = Planner().plan(Tier.FULL, 50_000)
    assert Planner().plan(Tier.FULL, 50_000, PlanOverrides.of({name: 1})) != own


def test_lower_tiers_are_never_made_dearer() -> None:
    overrides = PlanOverrides.of(ALL)
    own = Planner().plans_from(Tier.FULL, 50_000)
    plans = Planner().plans_from(Tier.FULL, 50_000, overrides)
    assert plans[0] != own[0]
    assert plans[1:] == own[1:]


def test_values_are_what_it_was_made_of() -> None:
    assert PlanOverrides.of(ALL).values() == ALL
    assert PlanOverrides.of({}).values() == {}
    assert PlanOverrides.of({}) == PlanOverrides()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ef_search", 0),
        ("ef_search", 64.5),
        ("num_candidates", 2_001),
        ("diversity_lambda", 1.1),
        ("freshness_weight", -0.1),
        ("source_limits.ann", -1),
        ("source_limits.nowhere", 1),
        ("scorer", 1),
        ("diversity_lambda", math.nan),
        ("ef_search", math.inf),
    ],
)
def test_refuses_what_is_not_on_the_list_or_out_of_range(
    name: str, value: float
) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        PlanOverrides.of({name: value})
    assert refused.value.field == name
