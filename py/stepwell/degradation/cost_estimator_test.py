"""Costs follow the last 4 s, and the model card where nothing is known."""

import pytest

from stepwell.degradation.cost_estimator import CostEstimator
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.tier_policy import TierCost

CARD = {tier: TierCost(int(tier) * 1_000, int(tier) * 600) for tier in BEST_FIRST}
SECOND_US = 1_000_000


@pytest.mark.parametrize("tier", BEST_FIRST)
def test_without_a_sample_the_model_card_answers(tier: Tier) -> None:
    cost = CostEstimator(CARD).costs(now_us=0)[tier]
    assert cost == TierCost(
        int(tier) * 1_000, int(tier) * 600, is_live=False, is_sure=False
    )


def test_live_samples_replace_the_card_of_their_tier_only() -> None:
    estimator = CostEstimator(CARD)
    for service_us in range(1, 61):
        estimator.record(Tier.REDUCED, service_us, 0)
    costs = estimator.costs(1)
    assert costs[Tier.REDUCED] == TierCost(p95_us=57, mean_us=30)
    assert not costs[Tier.FULL].is_live


def test_is_back_at_the_card_4_seconds_after_a_fault_with_no_traffic() -> None:
    estimator = CostEstimator(CARD)
    for _ in range(64):
        estimator.record(Tier.FULL, 90_000, SECOND_US)
    assert estimator.costs(SECOND_US * 4)[Tier.FULL].p95_us >= 90_000
    assert not estimator.costs(SECOND_US * 5 + 1)[Tier.FULL].is_live


def test_forgets_a_fault_when_good_samples_follow_for_4_seconds() -> None:
    estimator = CostEstimator(CARD)
    for tick in range(100):
        estimator.record(Tier.FULL, 90_000, tick * 10_000)
    for tick in range(50):
        estimator.record(Tier.FULL, 6_000, SECOND_US + tick * 90_000)
    assert estimator.costs(SECOND_US * 6)[Tier.FULL].p95_us < 6_500


def test_an_error_counts_as_the_worst_latency() -> None:
    estimator = CostEstimator(CARD)
    for _ in range(18):
        estimator.record(Tier.FULL, 5_000, 0)
    for _ in range(2):
        estimator.record_failure(Tier.FULL, service_us=10, budget_us=20_000, now_us=0)
    assert estimator.costs(0)[Tier.FULL].p95_us >= 20_000
    estimator.record(Tier.FULL, 70_000, 0)
    estimator.record_failure(Tier.FULL, service_us=10, budget_us=20_000, now_us=0)
    total_us = (18 * 5 + 2 * 20 + 70 + 70) * 1_000
    assert estimator.costs(0)[Tier.FULL].mean_us >= total_us // 22


@pytest.mark.parametrize(
    ("samples", "p95_us", "mean_us"),
    [
        ([500], 503, 503),
        ([90_000], 3_000, 1_800),  # alone: the card's
        ([90_000, 500], 503, 500),
        ([90_000, 400, 500], 503, 450),
        ([90_000, 80_000, 500], 81_919, 40_250),
    ],
)
def test_of_few_samples_the_worst_is_left_out(
    samples: list[int], p95_us: int, mean_us: int
) -> None:
    estimator = CostEstimator(CARD)
    for sample in samples:
        estimator.record(Tier.FULL, sample, 0)
    cost = estimator.costs(0)[Tier.FULL]
    assert (cost.p95_us, cost.is_live, cost.is_sure) == (p95_us, True, False)
    assert cost.mean_us == pytest.approx(mean_us, abs=150)


def test_twenty_samples_make_a_tier_known() -> None:
    estimator = CostEstimator(CARD)
    for _ in range(20):
        assert not estimator.costs(0)[Tier.FULL].is_sure
        estimator.record(Tier.FULL, 5_000, 0)
    assert estimator.costs(0)[Tier.FULL].is_sure


def test_another_release_brings_its_own_card() -> None:
    estimator = CostEstimator(CARD)
    estimator.replace_card({tier: TierCost(7, 5) for tier in BEST_FIRST})
    assert estimator.costs(0)[Tier.FULL] == TierCost(7, 5, is_live=False, is_sure=False)
