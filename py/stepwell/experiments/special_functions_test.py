import pytest
from scipy.special import betainc, betaincc, betaln, log_ndtr

from stepwell.experiments.special_functions import (
    beta_above,
    beta_below,
    log_beta,
    log_normal_below,
)

SHAPES = [(0.5, 0.5), (3.5, 0.5), (0.5, 40.5), (12.5, 190.5), (4_000.5, 76_000.5)]


@pytest.mark.parametrize("z", [-300.0, -31.0, -29.0, -8.0, -1.0, 0.0, 1.0, 8.0, 40.0])
def test_the_normal_is_scipys_far_out_too(z: float) -> None:
    assert log_normal_below(z) == pytest.approx(float(log_ndtr(z)), rel=1e-5, abs=1e-15)


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_the_beta_function_is_scipys(a: float, b: float) -> None:
    assert log_beta(a, b) == pytest.approx(float(betaln(a, b)), rel=1e-9)


@pytest.mark.parametrize(("a", "b"), SHAPES)
@pytest.mark.parametrize("x", [1e-4, 0.01, 0.05, 0.0526, 0.3, 0.5, 0.9, 0.999])
def test_the_incomplete_beta_function_is_scipys_on_both_sides(
    a: float, b: float, x: float
) -> None:
    for ours, theirs in ((beta_below, betainc), (beta_above, betaincc)):
        expected = float(theirs(a, b, x))
        assert ours(a, b, x) == pytest.approx(expected, rel=1e-7, abs=1e-290)
