"""The planner: what each tier means in work."""

import pytest

from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.trim import HIGHEST_FIT_PPM
from stepwell.pipeline.candidate import SOURCE_NAMES
from stepwell.pipeline.planner import Planner, PlannerOptions, StageShares


def test_a_lower_tier_does_less_of_everything() -> None:
    full, reduced = (
        Planner().plan(Tier.FULL, 50_000),
        Planner().plan(Tier.REDUCED, 50_000),
    )
    assert full is not None
    assert reduced is not None
    assert reduced.num_candidates < full.num_candidates
    assert reduced.ef_search < full.ef_search
    assert sum(reduced.source_limits.values()) < sum(full.source_limits.values())
    assert (full.scorer, reduced.scorer) == ("full", "reduced")


def test_popular_has_no_plan_for_it_runs_no_stage() -> None:
    assert Planner().plan(Tier.POPULAR, 50_000) is None
    assert Planner().plans_from(Tier.POPULAR, 50_000) == []


def test_plans_from_a_tier_are_its_own_and_the_lower_ones() -> None:
    tiers = [tier for tier, _ in Planner().plans_from(Tier.FULL, 50_000)]
    assert tiers == [Tier.FULL, Tier.REDUCED]


def test_the_stages_of_full_share_what_the_ladder_plans_at_most() -> None:
    plan = Planner().plan(Tier.FULL, 50_000)
    assert plan is not None
    budgets = plan.budgets
    shared_us = sum(getattr(budgets, name) for name in budgets.__slots__)
    assert shared_us == 50_000 * HIGHEST_FIT_PPM // 1_000_000


@pytest.mark.parametrize("tier", BEST_FIRST[:2])
def test_asks_known_sources_for_enough_candidates(tier: Tier) -> None:
    plan = Planner(PlannerOptions()).plan(tier, 1)
    assert plan is not None
    assert set(plan.source_limits) <= set(SOURCE_NAMES)
    assert sum(plan.source_limits.values()) >= plan.num_candidates


def test_refuses_shares_that_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="sum to 1100000"):
        StageShares(hydrate=200_000)
