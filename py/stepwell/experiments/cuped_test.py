import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from stepwell.experiments.cuped import Adjusted, ArmSums
from stepwell.experiments.cuped import adjusted as adjusted_sums
from stepwell.experiments.ratio_metric import RatioSums, difference

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ArmUsers:
    """The users of one arm: numerators, denominators, and what was known of each."""

    y: Floats
    x: Floats
    before: Floats


def adjusted(control: ArmUsers, treated: ArmUsers) -> Adjusted:
    sums = [ArmSums.of(arm.y, arm.x, arm.before) for arm in (control, treated)]
    return adjusted_sums(*sums)


Drawn = tuple[ArmUsers, ArmUsers]


def drawn(seed: int, lift: float = 0.0, size: int = 400) -> Drawn:
    """Two arms of users whose past tells much of what they do."""
    rng = np.random.default_rng(seed)
    arms = []
    for rate in (0.0, lift):
        taste = rng.beta(2, 8, size)
        before = rng.binomial(40, taste).astype(np.float64)
        slates = rng.geometric(0.1, size).astype(np.float64)
        chance = np.clip(taste * (1 + rate), 0, 1)
        clicks = rng.binomial(slates.astype(np.int64), chance).astype(np.float64)
        arms.append(ArmUsers(clicks, slates, before[:, None]))
    return arms[0], arms[1]


def test_it_is_as_right_as_the_plain_difference_and_surer() -> None:
    plain, better, kept = [], [], []
    for seed in range(400):
        control, treated = drawn(seed, lift=0.1)
        found = adjusted(control, treated)
        better.append(found.difference.effect)
        kept.append(found.variance_kept)
        sums = [RatioSums.of(arm.y, arm.x) for arm in (control, treated)]
        plain.append(difference(*sums).effect)
    # The mean effect is 0.1 of 0.2; the adjustment moves it by no more than noise.
    assert np.mean(better) == pytest.approx(0.02, abs=0.002)
    assert np.var(better) < 0.75 * np.var(plain)
    assert np.mean(kept) == pytest.approx(np.var(better) / np.var(plain), abs=0.15)


def test_its_variance_is_that_of_repeated_draws() -> None:
    found = [adjusted(*drawn(seed)) for seed in range(500)]
    effects = [one.difference.effect for one in found]
    variances = [one.difference.variance for one in found]
    assert np.mean(variances) == pytest.approx(np.var(effects), rel=0.15)
    z = np.array(effects) / np.sqrt(variances)
    assert np.mean(np.abs(z) > 1.96) < 0.09


def test_a_past_that_says_nothing_changes_nothing() -> None:
    control, treated = drawn(1)
    blank = [ArmUsers(arm.y, arm.x, np.ones((400, 2))) for arm in (control, treated)]
    found = adjusted(*blank)
    sums = [RatioSums.of(arm.y, arm.x) for arm in blank]
    plain = difference(*sums)
    assert found.variance_kept == pytest.approx(1.0)
    assert found.difference.effect == pytest.approx(plain.effect)
    assert found.difference.variance == pytest.approx(plain.variance)


def test_users_without_a_denominator_are_out() -> None:
    control, treated = drawn(2)
    more = ArmUsers(
        np.append(control.y, 5.0),
        np.append(control.x, 0.0),
        np.append(control.before, [[1e6]], axis=0),
    )
    found, expected = adjusted(more, treated), adjusted(control, treated)
    assert found.difference == expected.difference


def test_it_is_the_regression_on_the_past() -> None:
    control, treated = drawn(4)
    arms = [control, treated]
    ratios = [float(arm.y.sum() / arm.x.sum()) for arm in arms]
    parts = [
        (arm.y - ratio * arm.x) / arm.x.mean()
        for arm, ratio in zip(arms, ratios, strict=True)
    ]
    means = [arm.before.mean(axis=0) for arm in arms]
    centred = [arm.before - mean for arm, mean in zip(arms, means, strict=True)]
    theta = np.linalg.lstsq(np.vstack(centred), np.concatenate(parts), rcond=None)[0]
    rests = [part - past @ theta for part, past in zip(parts, centred, strict=True)]
    gap = adjusted(control, treated).difference
    shift = float((means[1] - means[0]) @ theta)
    assert gap.effect == pytest.approx(ratios[1] - ratios[0] - shift)
    assert gap.variance == pytest.approx(sum(rest.var(ddof=1) / 400 for rest in rests))


def test_arms_too_small_for_the_past_are_not_adjusted() -> None:
    _, treated = drawn(3)
    two = ArmUsers(np.array([1.0, 2.0]), np.array([2.0, 3.0]), np.array([[1.0], [5.0]]))
    sums = [RatioSums.of(arm.y, arm.x) for arm in (two, treated)]
    assert adjusted(two, treated) == Adjusted(difference(*sums), 1.0)


def test_nobody_who_clicks_is_no_difference() -> None:
    still = ArmUsers(np.zeros(5), np.ones(5), np.arange(5.0)[:, None])
    found = adjusted(still, still)
    assert (found.difference.effect, found.variance_kept) == (0.0, 1.0)
    assert math.isnan(found.difference.relative)
