"""What an experiment found: each arm beside the control, in every metric."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import ndtr, ndtri

from stepwell.base.errors import FailedPreconditionError, InvalidArgumentError
from stepwell.experiments.cuped import ArmSums, adjusted
from stepwell.experiments.exposed_slates import (
    GUARDRAILS,
    OUTCOMES,
    ExposedSlates,
    Ints,
)
from stepwell.experiments.panel import (
    Look,
    LookOptions,
    Occasions,
    Panel,
    looks,
)
from stepwell.experiments.ratio_metric import Difference, difference
from stepwell.experiments.sample_ratio import MISMATCH, sample_ratio_p_value

CONTROL = "control"

GUARDRAIL_EFFECT = 0.01
"""A point of a hundred: a guardrail is a share, and a rare one should be found too."""

_MAX_LOOKS = 100
_MAX_CELLS = 20_000_000
"""Of a panel, users times looks: 16 bytes each."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a report is made with.

    Attributes:
        control: the arm that the others stand beside; "" takes the one named
            "control", or else the first by name.
        shares: of the users, by arm, in any unit; empty where nobody knows.
        looks: how looks judge.
    """

    control: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    looks: LookOptions = field(default_factory=LookOptions)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference with the interval of a single look that was planned beforehand.

    Attributes:
        effect: treated minus control.
        half_width: of the interval of 1 - alpha.
        p_value: two-sided, of one look.
    """

    effect: float
    half_width: float
    p_value: float

    @classmethod
    def of(cls, gap: Difference, alpha: float) -> "Estimate":
        """Takes the difference for normal."""
        error = math.sqrt(gap.variance)
        width = float(ndtri(1 - alpha / 2)) * error
        z = abs(gap.effect) / error if error else math.nan
        return cls(gap.effect, width, 2 * float(ndtr(-z)))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm beside the control in one metric.

    Attributes:
        arm, metric: names.
        control_value, value: the metric in the control and in the arm, per slate.
        at_end: as if this had been the only look.
        adjusted: the same by CUPED.
        variance_kept: of CUPED, in parts of the variance without it.
        looks: at most 100 over time, adjusted, with p-values and intervals that always
            hold.
        is_worse: of a guardrail: surely worse than the control.
    """

    arm: str
    metric: str
    control_value: float
    value: float
    at_end: Estimate
    adjusted: Estimate
    variance_kept: float
    looks: tuple[Look, ...]
    is_worse: bool = False

    @property
    def relative(self) -> float:
        """The effect in parts of the control; nan where that is 0."""
        base = self.control_value
        return self.at_end.effect / base if base else math.nan


@dataclass(frozen=True, slots=True)
class ArmSize:
    """How many users and slates an arm has."""

    name: str
    num_users: int
    num_slates: int


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """All of it.

    Attributes:
        control: the control's name.
        alpha: bound on false alarms, by comparison.
        arms: the control first; last those that were dealt and not seen.
        num_crossed: users left out, for they were seen in several arms.
        sample_ratio_p_value: of users by arm; None without shares.
        comparisons: by arm, then by metric.
    """

    control: str
    alpha: float
    arms: tuple[ArmSize, ...]
    num_crossed: int
    sample_ratio_p_value: float | None
    comparisons: tuple[Comparison, ...]

    @property
    def has_mismatch(self) -> bool:
        """The arms are not as large as they should be: believe nothing else."""
        found = self.sample_ratio_p_value
        return found is not None and found < MISMATCH


def report_of(slates: ExposedSlates, options: ReportOptions) -> ExperimentReport:
    """Returns the report of an experiment.

    Raises:
        FailedPreconditionError: fewer than two arms were seen.
        NotFoundError: nobody was seen in the control.
        InvalidArgumentError: an arm that was seen has no share.
    """
    if len(slates.arm_names) < 2:
        seen = ", ".join(slates.arm_names) or "none"
        raise FailedPreconditionError(f"a report needs two arms; seen were {seen}")
    names = _control_first(slates, options.control)
    unseen = [name for name in options.shares if name not in names]
    sizes = tuple(_size(slates, name) for name in names)
    sizes += tuple(ArmSize(name, 0, 0) for name in unseen)
    times = _look_times(slates)
    comparisons = tuple(
        comparison
        for metric in (*OUTCOMES, *GUARDRAILS)
        for comparison in _compared(slates, metric, names, times, options.looks)
    )
    by_arm = sorted(comparisons, key=lambda one: names.index(one.arm))
    return ExperimentReport(
        control=names[0],
        alpha=options.looks.alpha,
        arms=sizes,
        num_crossed=slates.num_crossed,
        sample_ratio_p_value=_sample_ratio(sizes, options.shares),
        comparisons=tuple(by_arm),
    )


def _control_first(slates: ExposedSlates, wanted: str) -> list[str]:
    names = sorted(slates.arm_names)
    control = wanted or (CONTROL if CONTROL in names else names[0])
    slates.arm(control)
    return [control, *(name for name in names if name != control)]


def _size(slates: ExposedSlates, name: str) -> ArmSize:
    members = slates.arm(name)
    return ArmSize(name, int(members.sum()), int(members[slates.users].sum()))


def _sample_ratio(
    sizes: tuple[ArmSize, ...], shares: Mapping[str, float]
) -> float | None:
    if not shares:
        return None
    for size in sizes:
        if size.name not in shares:
            known = ", ".join(shares)
            raise InvalidArgumentError(
                f"arm {size.name!r} was seen and is not in the file: {known}", "arms"
            )
    dealt = [shares[size.name] for size in sizes]
    return sample_ratio_p_value([size.num_users for size in sizes], dealt)


def _look_times(slates: ExposedSlates) -> Ints:
    """Looks at even steps of what was shown; the last one sees everything."""
    number = min(_MAX_LOOKS, max(1, _MAX_CELLS // max(len(slates.arms), 1)))
    ends = np.linspace(0, len(slates.times) - 1, number + 1)[1:].astype(np.int64)
    return np.unique(np.sort(slates.times)[ends])


def _compared(
    slates: ExposedSlates,
    metric: str,
    names: list[str],
    times: Ints,
    options: LookOptions,
) -> list[Comparison]:
    if metric in GUARDRAILS:
        options = replace(options, least_effect=GUARDRAIL_EFFECT)
    column = slates.values[metric]
    occasions = Occasions(slates.users, slates.times, column, np.ones(len(column)))
    panel = Panel.of(occasions, slates.before, times)
    sums = panel.sums(np.stack([slates.arm(name) for name in names]))
    return [
        _comparison(
            (name, metric),
            (sums[0][-1], sums[place][-1]),
            looks(times, sums[0], sums[place], options),
            options,
        )
        for place, name in enumerate(names)
        if place
    ]


def _comparison(
    names: tuple[str, str],
    sums: tuple[ArmSums, ArmSums],
    looked: list[Look],
    options: LookOptions,
) -> Comparison:
    (arm, metric), (control, treated) = names, (sums[0].ratio, sums[1].ratio)
    better = adjusted(*sums)
    found = Comparison(
        arm=arm,
        metric=metric,
        control_value=control.ratio,
        value=treated.ratio,
        at_end=Estimate.of(difference(control, treated), options.alpha),
        adjusted=Estimate.of(better.difference, options.alpha),
        variance_kept=better.variance_kept,
        looks=tuple(looked),
    )
    wanted = GUARDRAILS.get(metric, 0)
    sure = looked[-1].p_value <= options.alpha
    return replace(found, is_worse=sure and found.adjusted.effect * wanted < 0)
