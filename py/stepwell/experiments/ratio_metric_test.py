import math

import numpy as np
import pytest

from stepwell.experiments.ratio_metric import RatioSums, difference


def test_sums_are_those_of_the_units_with_a_denominator() -> None:
    sums = RatioSums.of(np.array([1, 0, 3, 7]), np.array([2, 4, 4, 0]))
    assert (sums.num_units, sums.y, sums.x) == (3, 4.0, 10.0)
    assert (sums.yy, sums.xx, sums.xy) == (10.0, 36.0, 14.0)
    assert sums.ratio == 0.4


def test_variance_is_that_of_repeated_draws() -> None:
    rng = np.random.default_rng(3)
    ratios, variances = [], []
    for _ in range(2_000):
        slates = rng.geometric(0.2, 300)
        clicks = rng.binomial(slates, rng.beta(2, 8, 300))
        sums = RatioSums.of(clicks, slates)
        ratios.append(sums.ratio)
        variances.append(sums.variance)
    assert np.mean(variances) == pytest.approx(np.var(ratios), rel=0.1)
    # Slates taken for units would promise too much.
    mean = float(np.mean(ratios))
    assert np.mean(variances) > 1.3 * mean * (1 - mean) / (300 * 5)


def test_with_one_slate_a_user_it_is_the_variance_of_a_mean() -> None:
    clicks = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    sums = RatioSums.of(clicks, np.ones(5))
    assert sums.variance == pytest.approx(clicks.var(ddof=1) / 5)


def test_too_little_to_say_is_nan() -> None:
    assert math.isnan(RatioSums.of(np.zeros(0), np.zeros(0)).ratio)
    assert math.isnan(RatioSums.of(np.ones(1), np.ones(1)).variance)


def test_a_difference_adds_variances_and_is_told_in_parts_of_the_control() -> None:
    control = RatioSums.of(np.array([1, 2, 1]), np.array([10, 10, 10]))
    treated = RatioSums.of(np.array([2, 2, 2]), np.array([10, 12, 8]))
    gap = difference(control, treated)
    assert gap.effect == pytest.approx(6 / 30 - 4 / 30)
    assert gap.variance == pytest.approx(control.variance + treated.variance)
    assert gap.relative == pytest.approx(0.5)
    nothing = RatioSums.of(np.zeros(3), np.ones(3))
    assert math.isnan(difference(nothing, treated).relative)
