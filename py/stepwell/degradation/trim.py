"""The slow trim of f, the share of its budget a request may plan for: pure."""

from dataclasses import dataclass
from typing import NamedTuple

from stepwell.base.errors import check_range

MILLION = 1_000_000
LOWEST_FIT_PPM = 300_000
HIGHEST_FIT_PPM = 850_000
"""Between these is f, whatever moves it."""
MIN_TAIL_SAMPLES = 1_000
"""Fewer are too few to know a p99 by."""


@dataclass(frozen=True, slots=True)
class TrimOptions:
    """Limits and steps of f in parts per million; asymmetry is the hysteresis.

    Attributes:
        interval_us: pause between two looks.
        low_ppm, high_ppm: limits of f.
        late_ratio_ppm: a p95 over this share of the budget shrinks f by `down_ppm`.
        tail_ratio_ppm: a p99 over this share shrinks it by half of that step.
        early_ratio_ppm: a p95 under this share lets it grow by `up_ppm`.
        calm_up_ppm: by which it grows in calm in place of that, up to where it started.
        calm_ratio_ppm: it is calm when so many requests found nobody in the queue.
        min_samples: fewer answers since f shrank say nothing about the new f.
    """

    interval_us: int = 500_000
    low_ppm: int = LOWEST_FIT_PPM
    high_ppm: int = HIGHEST_FIT_PPM
    late_ratio_ppm: int = 900_000
    tail_ratio_ppm: int = 800_000
    early_ratio_ppm: int = 700_000
    down_ppm: int = 900_000
    up_ppm: int = 1_020_000
    calm_up_ppm: int = 1_200_000
    calm_ratio_ppm: int = 250_000
    min_samples: int = 10

    def __post_init__(self) -> None:
        check_range("interval_us", self.interval_us, 1_000, 60 * MILLION)
        check_range("low_ppm", self.low_ppm, 1, MILLION)
        check_range("high_ppm", self.high_ppm, self.low_ppm, MILLION)
        check_range("late_ratio_ppm", self.late_ratio_ppm, 1, 2 * MILLION)
        check_range("tail_ratio_ppm", self.tail_ratio_ppm, 1, 2 * MILLION)
        check_range("early_ratio_ppm", self.early_ratio_ppm, 0, self.late_ratio_ppm)
        check_range("down_ppm", self.down_ppm, 1, MILLION)
        check_range("up_ppm", self.up_ppm, MILLION, 2 * MILLION)
        check_range("calm_up_ppm", self.calm_up_ppm, MILLION, 4 * MILLION)
        check_range("calm_ratio_ppm", self.calm_ratio_ppm, 1, MILLION)
        check_range("min_samples", self.min_samples, 1, MILLION)

    def limited(self, fit_ppm: int) -> int:
        """Returns f within its limits."""
        return min(max(fit_ppm, self.low_ppm), self.high_ppm)


class Use(NamedTuple):
    """What answers took from their arrival on, microseconds.

    `p95_us` is 0 without samples, `p99_us` with too few for it; both are held against
    `budget_us`.
    """

    p95_us: int
    p99_us: int
    budget_us: int


def trimmed_fit_ppm(
    fit_ppm: int, use: Use, options: TrimOptions, home_ppm: int = 0
) -> int:
    """Returns the next f.

    Args:
        fit_ppm: f now.
        use: of the last 4 s, or since f shrank.
        options: steps and limits.
        home_ppm: where f hurries to; 0 unless it is calm.
    Returns:
        f * 0.9 when the p95 is over 90 % of the budget, f * 0.95 when the p99 is over
        80 %; where neither is and the p95 is under 70 % f * 1.02, or below `home_ppm`
        f * 1.2 up to it; f otherwise or without samples; always within its limits.
    """
    p95_us, p99_us, budget_us = use
    stepped = fit_ppm
    if p95_us * MILLION > options.late_ratio_ppm * budget_us:
        stepped = fit_ppm * options.down_ppm // MILLION
    elif p99_us * MILLION > options.tail_ratio_ppm * budget_us:
        stepped = fit_ppm * ((MILLION + options.down_ppm) // 2) // MILLION
    elif 0 < p95_us * MILLION < options.early_ratio_ppm * budget_us:
        hurried = min(fit_ppm * options.calm_up_ppm // MILLION, home_ppm)
        stepped = max(fit_ppm * options.up_ppm // MILLION, hurried)
    return options.limited(stepped)
