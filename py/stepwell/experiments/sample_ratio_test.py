import pytest
from scipy.stats import chisquare

from stepwell.base.errors import InvalidArgumentError
from stepwell.experiments.sample_ratio import MISMATCH, sample_ratio_p_value


def test_it_is_pearsons_test() -> None:
    expected = chisquare([480, 520, 260], [504, 504, 252]).pvalue
    assert sample_ratio_p_value([480, 520, 260], [2, 2, 1]) == pytest.approx(expected)


def test_a_lost_share_of_an_arm_is_a_mismatch_and_chance_is_none() -> None:
    assert sample_ratio_p_value([10_000, 9_500], [1, 1]) < MISMATCH
    assert sample_ratio_p_value([10_000, 9_900], [1, 1]) > MISMATCH


def test_nothing_to_compare_is_no_mismatch() -> None:
    assert sample_ratio_p_value([7], [5_000]) == 1.0
    assert sample_ratio_p_value([0, 0], [1, 1]) == 1.0


def test_refuses_an_arm_that_should_have_nobody() -> None:
    with pytest.raises(InvalidArgumentError, match="must be > 0"):
        sample_ratio_p_value([1, 1], [1, 0])
