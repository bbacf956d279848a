"""Less variance by what was known of the users before the experiment.

Source: Deng, Xu, Kohavi and Walker, "Improving the Sensitivity of Online Controlled
Experiments by Utilizing Pre-Experiment Data", WSDM 2013: of a metric, what a covariate
from before the start explains is no effect, and taken out it is no noise either.
Differences: several covariates, by least squares; ratios by their linear form, as in
Deng, Knoblich and Lu, KDD 2018; all out of sums, so that every look can be adjusted.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.experiments.ratio_metric import Difference, RatioSums, difference

Floats = npt.NDArray[np.float64]

_RIDGE = 1e-10
"""Of the covariates' variance: one that says nothing gets no weight, not a division."""


@dataclass(frozen=True, slots=True)
class ArmSums:
    """Sums over the units of one arm that have a denominator, with C covariates.

    Attributes:
        ratio: of the numerator y and the denominator x.
        c: float64 [C], sums of the covariates.
        cy, cx: float64 [C], of their products with y and with x.
        cc: float64 [C, C], of their products with each other.
    """

    ratio: RatioSums
    c: Floats
    cy: Floats
    cx: Floats
    cc: Floats

    @classmethod
    def of(cls, y: Floats, x: Floats, before: Floats) -> "ArmSums":
        """Sums [U] numerators, [U] denominators and [U, C] covariates."""
        seen = x != 0
        past = before[seen]
        return cls(
            ratio=RatioSums.of(y, x),
            c=past.sum(axis=0),
            cy=past.T @ y[seen],
            cx=past.T @ x[seen],
            cc=past.T @ past,
        )


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A difference without what was to be expected.

    Attributes:
        difference: of the arms, adjusted.
        variance_kept: its variance in parts of the unadjusted one; 1 where the past
            says nothing.
    """

    difference: Difference
    variance_kept: float


def adjusted(control: ArmSums, treated: ArmSums) -> Adjusted:
    """Returns treated minus control, adjusted for what was known before.

    Where an arm has no more units than there are covariates, unadjusted. Cost: about
    50 us.
    """
    plain = difference(control.ratio, treated.ratio)
    fewest = min(control.ratio.num_units, treated.ratio.num_units)
    if fewest < len(control.c) + 2 or not plain.variance > 0:
        return Adjusted(plain, 1.0)
    arms = [_Centred.of(control), _Centred.of(treated)]
    # Within the arms: what the treatment does is not to be explained by the past.
    spread = arms[0].cc + arms[1].cc
    ridge = _RIDGE * (np.trace(spread) or 1.0) * np.eye(len(spread))
    solved = np.linalg.solve(spread + ridge, arms[0].cz + arms[1].cz)
    theta = solved.astype(np.float64)
    effect = plain.effect - float(theta @ (arms[1].mean - arms[0].mean))
    variance = arms[0].variance_without(theta) + arms[1].variance_without(theta)
    return Adjusted(
        Difference(effect, variance, plain.baseline), variance / plain.variance
    )


@dataclass(frozen=True, slots=True)
class _Centred:
    """An arm's covariates around their mean, and each unit's part z of the ratio.

    z is (y - ratio * x) / mean(x): of mean 0, and the ratio's error is its mean.
    """

    num_units: int
    mean: Floats
    cc: Floats
    cz: Floats
    variance: float

    @classmethod
    def of(cls, sums: ArmSums) -> "_Centred":
        ratio, number = sums.ratio, sums.ratio.num_units
        mean = sums.c / number
        return cls(
            num_units=number,
            mean=mean,
            cc=sums.cc - number * np.outer(mean, mean),
            cz=(sums.cy - ratio.ratio * sums.cx) * (number / ratio.x),
            variance=ratio.variance,
        )

    def variance_without(self, theta: Floats) -> float:
        """Squared standard error of the mean of z - theta * c."""
        explained = float(2 * theta @ self.cz - theta @ self.cc @ theta)
        return self.variance - explained / (self.num_units * (self.num_units - 1))
