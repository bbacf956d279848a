import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, binom, norm

from stepwell.base.errors import InvalidArgumentError
from stepwell.experiments.always_valid import (
    SequentialTest,
    Side,
    half_width,
    normal_log_ratio,
    p_value,
    share_log_ratio,
)

SIDES: list[Side] = ["two_sided", "greater", "less"]
BOUNDS = {
    "two_sided": (-math.inf, math.inf),
    "greater": (0.0, math.inf),
    "less": (-math.inf, 0.0),
}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("effect", [-0.3, 0.0, 0.02, 0.5])
def test_the_normal_ratio_is_the_integral_of_its_mixture(
    effect: float, side: Side
) -> None:
    variance, scale = 0.04, 0.1
    low, high = BOUNDS[side]

    def density(theta: float) -> float:
        likelihood = norm.pdf(effect, theta, math.sqrt(variance))
        return float(likelihood * norm.pdf(theta, 0, scale))

    under_mixture = quad(density, low, high)[0] * (1 if side == "two_sided" else 2)
    expected = math.log(under_mixture / norm.pdf(effect, 0, math.sqrt(variance)))
    ratio = normal_log_ratio(effect, variance, scale, side)
    assert ratio == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (0, 9), (3, 3), (5, 40)])
def test_the_share_ratio_is_the_integral_of_its_mixture(
    hits: int, trials: int, side: Side
) -> None:
    share = 0.05
    low, high = {"two_sided": (0, 1), "greater": (share, 1), "less": (0, share)}[side]
    prior = beta(0.5, 0.5)
    part = quad(
        lambda at: binom.pmf(hits, trials, at) * prior.pdf(at), low, high, limit=200
    )[0]
    part /= prior.cdf(high) - prior.cdf(low)
    expected = math.log(part / binom.pmf(hits, trials, share))
    assert share_log_ratio(hits, trials, share, side) == pytest.approx(
        expected, abs=1e-4
    )


def test_no_evidence_is_no_ratio() -> None:
    assert normal_log_ratio(math.nan, 1.0, 1.0) == 0.0
    assert normal_log_ratio(1.0, 0.0, 1.0) == 0.0
    assert normal_log_ratio(1.0, math.nan, 1.0, "less") == 0.0
    assert share_log_ratio(0, 0, 0.3) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan])
def test_refuses_a_mixture_without_width(scale: float) -> None:
    with pytest.raises(InvalidArgumentError, match="scale"):
        normal_log_ratio(1.0, 1.0, scale)


def test_refuses_hits_that_are_no_part_of_the_trials() -> None:
    with pytest.raises(InvalidArgumentError, match="num_hits is 4"):
        share_log_ratio(4, 3, 0.5)
    with pytest.raises(InvalidArgumentError, match="share is 1"):
        share_log_ratio(1, 3, 1.0)


def test_the_side_that_is_not_asked_for_is_not_found() -> None:
    assert p_value(normal_log_ratio(-0.5, 0.001, 0.1, "greater")) == 1.0
    assert p_value(normal_log_ratio(-0.5, 0.001, 0.1, "less")) < 1e-9
    assert p_value(share_log_ratio(0, 10_000, 0.5, "greater")) == 1.0


def test_the_interval_is_what_the_test_does_not_reject() -> None:
    variance, scale, alpha = 0.002, 0.05, 0.01
    edge = half_width(variance, scale, alpha)
    at_edge = normal_log_ratio(edge, variance, scale)
    assert p_value(at_edge) == pytest.approx(alpha)
    assert math.isnan(half_width(0.0, scale, alpha))


def test_a_difference_once_found_stays_found() -> None:
    test = SequentialTest(0.01)
    assert not test.look(math.log(99))
    assert test.look(math.log(101))
    assert test.look(0.0)
    assert test.p_value == pytest.approx(1 / 101)


@pytest.mark.parametrize("side", SIDES)
def test_looking_after_every_step_keeps_the_false_alarms(side: Side) -> None:
    rng = np.random.default_rng(7)
    num_runs, num_steps, alpha = 1_000, 400, 0.05
    steps = np.arange(1, num_steps + 1)
    means = rng.standard_normal((num_runs, num_steps)).cumsum(axis=1) / steps
    alarms = naive = 0
    for run in means:
        test = SequentialTest(alpha)
        for mean, number in zip(run[9::10], steps[9::10], strict=True):
            test.look(normal_log_ratio(mean, 1 / number, 0.2, side))
        alarms += test.p_value <= alpha
        naive += bool(np.any(np.abs(run[9::10]) * np.sqrt(steps[9::10]) > 1.96))
    assert alarms / num_runs <= alpha
    # The same looks at a fixed-size test: why all this is needed.
    assert naive / num_runs > 3 * alpha


def test_rare_errors_of_a_small_arm_are_found_and_no_others() -> None:
    rng = np.random.default_rng(11)
    share, alpha, alarms, found = 0.05, 0.01, 0, []
    for _ in range(600):
        test = SequentialTest(alpha)
        hits = (rng.random(60) < share).cumsum()
        for number, so_far in enumerate(hits.tolist(), 1):
            test.look(share_log_ratio(so_far, number, share, "greater"))
        alarms += test.p_value <= alpha
    assert alarms / 600 <= alpha
    for number in range(1, 10):
        if p_value(share_log_ratio(number, number, share, "greater")) <= alpha:
            found.append(number)
    # The first two errors, both of the arm with a twentieth of the requests, suffice.
    assert found[0] == 2
