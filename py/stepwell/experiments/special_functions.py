"""The three functions that always-valid tests need; a server starts without SciPy."""

import math

_ROOT_2 = math.sqrt(2.0)
_LOG_ROOT_2_PI = 0.5 * math.log(2.0 * math.pi)
_FAR = -30.0
_TINY = 1e-300
_CLOSE = 1e-14
_MAX_STEPS = 100_000


def log_normal_below(z: float) -> float:
    """Returns log P(Z <= z) of a standard normal; relative error below 1e-6."""
    if z < _FAR:
        # Behind the reach of erfc: the first terms of its series.
        square = z * z
        return -0.5 * square - math.log(-z) - _LOG_ROOT_2_PI - 1.0 / square
    return math.log(0.5 * math.erfc(-z / _ROOT_2))


def log_beta(a: float, b: float) -> float:
    """Returns the logarithm of the beta function, a, b > 0."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def beta_below(a: float, b: float, x: float) -> float:
    """Returns P(B <= x) of a beta variable: the regularized incomplete function.

    Args:
        a, b: > 0.
        x: 0 < x < 1.
    Returns:
        In [0, 1], 0 where it is below 1e-300.
    Cost: some sqrt(max(a, b)) steps of 0.3 us, rarely above 100.
    Source: Lentz, "Generating Bessel functions in Mie scattering calculations using
    continued fractions", Applied Optics 15(3), 1976, on Gauss' fraction.
    """
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _fraction(b, a, 1.0 - x)
    return _fraction(a, b, x)


def beta_above(a: float, b: float, x: float) -> float:
    """Returns P(B > x), without losing what is small; as `beta_below`."""
    return beta_below(b, a, 1.0 - x)


def _fraction(a: float, b: float, x: float) -> float:
    """As `beta_below`, by the fraction that converges fast for x < a / (a + b)."""
    log_front = a * math.log(x) + b * math.log1p(-x) - log_beta(a, b) - math.log(a)
    c, d = 1.0, 1.0 / _nonzero(1.0 - (a + b) * x / (a + 1.0))
    found = d
    for m in range(1, _MAX_STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _nonzero(1.0 + term * d)
            c = _nonzero(1.0 + term / c)
            found *= c * d
        if abs(c * d - 1.0) < _CLOSE:
            break
    return math.exp(log_front) * found if log_front > -690.0 else 0.0


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
