"""What users had done by each of many looks, and what each look says of two arms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.experiments.always_valid import (
    MIN_UNITS,
    half_width,
    normal_log_ratio,
    p_value,
)
from stepwell.experiments.cuped import ArmSums, adjusted
from stepwell.experiments.ratio_metric import Difference, RatioSums, difference

Floats = npt.NDArray[np.float64]
Members = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Occasions:
    """M occasions, such as slates, in any order.

    Attributes:
        users: int64 [M], 0 <= user < num_users.
        times: int64 [M], unix seconds.
        y: float64 [M], what counts, such as 1 for a click.
        x: float64 [M], what it counts against; 1 each for a share of occasions.
    """

    users: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    y: Floats
    x: Floats


@dataclass(frozen=True, slots=True)
class Look:
    """Two arms at one moment.

    Attributes:
        time_seconds: what came up to then is in, unix seconds.
        difference: treated minus control.
        p_value: of this look and those before it, always valid.
        half_width: of the interval around the effect that holds at all looks.
    """

    time_seconds: int
    difference: Difference
    p_value: float
    half_width: float


@dataclass(frozen=True, slots=True)
class LookOptions:
    """How looks judge.

    Attributes:
        alpha: bound on false alarms of all looks together.
        expected_effect: in parts of the pooled ratio, that should be found soonest.
        least_effect: the same in the metric's own unit, where that is more.
        is_adjusted: by what was known of the users before, see cuped.
    """

    alpha: float = 0.05
    expected_effect: float = 0.05
    least_effect: float = 0.0
    is_adjusted: bool = True

    def scale(self, pooled: float) -> float:
        """Returns the mixture's scale for a metric of this size."""
        return max(self.expected_effect * abs(pooled), self.least_effect)


@dataclass(frozen=True, slots=True)
class Panel:
    """Sums of U users up to each of L looks.

    Attributes:
        times: int64 [L], unix seconds, rising.
        y, x: float64 [U, L], rising along the looks where their parts are not negative.
        before: float64 [U, C], what was known of each before the first occasion.
    """

    times: npt.NDArray[np.int64]
    y: Floats
    x: Floats
    before: Floats

    @classmethod
    def of(
        cls, occasions: Occasions, before: Floats, times: npt.NDArray[np.int64]
    ) -> "Panel":
        """Sums up occasions; those behind the last look are left out.

        Cost: O(M + U * L) time, 16 bytes a user and look.
        """
        num_users = len(before)
        look = np.searchsorted(times, occasions.times, "left")
        seen = look < len(times)
        cell = occasions.users[seen] * len(times) + look[seen]
        shape, size = (num_users, len(times)), num_users * len(times)

        def summed(parts: Floats) -> Floats:
            cells = np.bincount(cell, weights=parts[seen], minlength=size)
            return cells.reshape(shape).cumsum(axis=1)

        return cls(times, summed(occasions.y), summed(occasions.x), before)

    def sums(self, members: Members) -> list[list[ArmSums]]:
        """Returns the sums of S groups of users at every look.

        Args:
            members: bool [S, U].
        Cost: 6 + 2 C + C (C + 3) / 2 products of [S, U] and [U, L].
        """
        y, x = self.y, self.x
        weights = members.astype(np.float64)
        seen = (x != 0).astype(np.float64)
        columns = [seen, y, x, y * y, x * x, x * y]
        totals = np.stack([weights @ column for column in columns], axis=-1)
        past = [weights * one for one in self.before.T]
        shape = (*totals.shape[:2], len(past))
        with_past = [
            np.stack([one @ column for one in past], axis=-1).reshape(shape)
            for column in (seen, y, x)
        ]
        products = np.empty((*shape, len(past)))
        for place, one in enumerate(past):
            for other in range(place + 1):
                both = (one * self.before[:, other]) @ seen
                products[..., place, other] = products[..., other, place] = both
        return [
            [
                ArmSums(RatioSums(int(number), *rest), c, cy, cx, cc)
                for (number, *rest), c, cy, cx, cc in zip(*group, strict=True)
            ]
            for group in zip(totals.tolist(), *with_past, products, strict=True)
        ]


def looks(
    times: npt.NDArray[np.int64],
    control: Sequence[ArmSums],
    treated: Sequence[ArmSums],
    options: LookOptions,
) -> list[Look]:
    """Returns what every look says, in time's order.

    Args:
        times: int64 [L].
        control, treated: L sums each, of users that the arms do not share.
    Cost: some 60 us a look.
    """
    found, smallest = [], 1.0
    for at, one, other in zip(times.tolist(), control, treated, strict=True):
        first, second = one.ratio, other.ratio
        gap = difference(first, second)
        width = float("nan")
        scale = options.scale(pooled_ratio(first, second))
        if scale > 0 and min(first.num_units, second.num_units) >= MIN_UNITS:
            if options.is_adjusted:
                gap = adjusted(one, other).difference
            ratio = normal_log_ratio(gap.effect, gap.variance, scale)
            smallest = min(smallest, p_value(ratio))
            width = half_width(gap.variance, scale, options.alpha)
        found.append(Look(at, gap, smallest, width))
    return found


def pooled_ratio(first: RatioSums, second: RatioSums) -> float:
    """Returns the ratio of both arms together, 0 without a denominator."""
    den = first.x + second.x
    return (first.y + second.y) / den if den else 0.0
