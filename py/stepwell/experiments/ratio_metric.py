"""A ratio of two sums over users, such as clicks per slate, and how sure it is.

Users are the units that were assigned, so they are the units of the variance: the
slates of one user are alike, and counted one by one they would promise too much.
Source: Deng, Knoblich and Lu, "Applying the Delta Method in Metric Analytics", KDD 2018
(arXiv:1803.06336), equation 3.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Cells = npt.NDArray[Any]
"""[U] numbers, one a unit."""


@dataclass(frozen=True, slots=True)
class RatioSums:
    """Sums over the units of one arm: enough for the ratio and its variance.

    Attributes:
        num_units: units with a denominator; users, or buckets of users.
        y, x: sums of the numerator and of the denominator.
        yy, xx, xy: sums of squares and of products.
    """

    num_units: int
    y: float
    x: float
    yy: float
    xx: float
    xy: float

    @classmethod
    def of(cls, y: Cells, x: Cells) -> "RatioSums":
        """Sums [U] numerators and [U] denominators; who has no denominator is out."""
        seen = x != 0
        num, den = y[seen].astype(np.float64), x[seen].astype(np.float64)
        return cls(
            num_units=len(den),
            y=float(num.sum()),
            x=float(den.sum()),
            yy=float(num @ num),
            xx=float(den @ den),
            xy=float(num @ den),
        )

    @property
    def ratio(self) -> float:
        """sum(y) / sum(x); nan without a denominator."""
        return self.y / self.x if self.x else math.nan

    @property
    def variance(self) -> float:
        """Squared standard error of `ratio`; nan below two units."""
        if self.num_units < 2 or not self.x:
            return math.nan
        # Of the linear form y - ratio * x, whose mean is 0 by the ratio's definition.
        ratio = self.ratio
        squares = self.yy - 2 * ratio * self.xy + ratio * ratio * self.xx
        unbiased = max(squares, 0.0) * self.num_units / (self.num_units - 1)
        return unbiased / (self.x * self.x)


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a treated arm is from the control.

    Attributes:
        effect: treated minus control.
        variance: its squared standard error.
        baseline: the control's value.
    """

    effect: float
    variance: float
    baseline: float

    @property
    def relative(self) -> float:
        """The effect in parts of the control; nan where that is 0."""
        return self.effect / self.baseline if self.baseline else math.nan


def difference(control: RatioSums, treated: RatioSums) -> Difference:
    """Returns the treated arm's ratio minus the control's; the arms share no unit."""
    return Difference(
        effect=treated.ratio - control.ratio,
        variance=control.variance + treated.variance,
        baseline=control.ratio,
    )
