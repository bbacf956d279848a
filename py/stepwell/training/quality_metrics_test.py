"""Metrics against ir-measures, and their corner cases."""

import ir_measures
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import R, Success, nDCG

from stepwell.training.quality_metrics import (
    ListQuality,
    Mean,
    calibration,
    coverage,
    exposure,
    intra_list_diversity,
    ndcg,
    novelty,
)

Rows = npt.NDArray[np.int64]


def _random(seed: int, num_users: int) -> tuple[list[Rows], list[Rows]]:
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(900)[: rng.integers(1, 700)] for _ in range(num_users)]
    targets = [rng.permutation(900)[: rng.integers(1, 40)] for _ in range(num_users)]
    return lists, targets


def _by_ir_measures(lists: list[Rows], targets: list[Rows]) -> dict[str, float]:
    run = [
        ir_measures.ScoredDoc(str(user), str(row), float(-place))
        for user, rows in enumerate(lists)
        for place, row in enumerate(rows)
    ]
    wanted = [
        ir_measures.Qrel(str(user), str(row), 1)
        for user, rows in enumerate(targets)
        for row in rows
    ]
    measures = [nDCG @ 10, R @ 100, R @ 500, Success @ 10]
    values = ir_measures.calc_aggregate(measures, wanted, run)
    return {str(measure): value for measure, value in values.items()}


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31), num_users=st.integers(1, 12))
def test_agrees_with_ir_measures(seed: int, num_users: int) -> None:
    lists, targets = _random(seed, num_users)
    ours = ListQuality.of(lists, targets)
    theirs = _by_ir_measures(lists, targets)
    assert ours.ndcg_at_10.value == pytest.approx(theirs["nDCG@10"])
    assert ours.recall_at_100.value == pytest.approx(theirs["R@100"])
    assert ours.recall_at_500.value == pytest.approx(theirs["R@500"])
    assert ours.hit_rate_at_10.value == pytest.approx(theirs["Success@10"])


def test_ideal_is_over_at_most_ten_targets() -> None:
    assert ndcg(np.ones(10, bool), 40) == pytest.approx(1.0)
    assert ndcg(np.array([False, True]), 1) == pytest.approx(1 / np.log2(3))


def test_users_without_a_target_do_not_count() -> None:
    quality = ListQuality.of(
        [np.array([1, 2]), np.array([3])], [np.array([1]), np.zeros(0, np.int64)]
    )
    assert quality.num_users == quality.num_targets == 1
    assert quality.ndcg_at_10.value == 1.0


def test_no_users_is_no_error() -> None:
    quality = ListQuality.of([], [])
    assert quality.num_users == 0
    assert quality.ndcg_at_10 == Mean(0.0, 0.0)


def test_error_is_that_of_the_mean() -> None:
    values = [0.0, 1.0, 1.0, 0.0]
    expected = np.std(values, ddof=1) / 2
    assert Mean.of(values).standard_error == pytest.approx(expected)


def test_coverage_counts_each_shown_item_once() -> None:
    lists = [np.array([0, 1, 2]), np.array([0, 1, 3])]
    assert coverage(lists, 8, k=2) == 2 / 8
    assert coverage([], 8) == 0.0


def test_novelty_is_the_surprise_of_what_is_shown() -> None:
    buyers = np.array([4.0, 1.0, 0.0])
    assert novelty([np.array([0, 1])], buyers, 4) == pytest.approx((0 + 2) / 2)
    assert novelty([np.array([2])], buyers, 4) == pytest.approx(2.0)


def test_diversity_is_the_part_of_pairs_that_differ() -> None:
    codes = np.array([1, 1, 2, 3])
    assert intra_list_diversity([np.array([0, 1])], codes) == 0.0
    assert intra_list_diversity([np.array([0, 2, 3])], codes) == 1.0
    assert intra_list_diversity([np.array([0, 1, 2])], codes) == pytest.approx(2 / 3)


def test_exposure_sums_to_one() -> None:
    shares = exposure([np.array([0, 1, 2])], np.array([5, 5, 7]))
    assert shares == {5: pytest.approx(2 / 3), 7: pytest.approx(1 / 3)}


def test_calibration_of_nothing_observed_is_unknown() -> None:
    assert calibration(np.array([0.2, 0.4]), np.array([0.0, 1.0])) == pytest.approx(0.6)
    assert np.isnan(calibration(np.array([0.2]), np.array([0.0])))
