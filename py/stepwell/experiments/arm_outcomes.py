"""What a release's answers came to: counts that two releases are compared by.

Everything is a count since the canary began, in a fixed number of cells, so that an arm
takes as much memory after a day as after a minute.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.base.latency_histogram import NUM_BUCKETS

LATENCY_BINS = NUM_BUCKETS
"""Cells of the histogram of latencies."""

USER_BUCKETS = 2_048
"""Cells of the sums over users; two users may share one, which costs little power."""

SCORE_BINS = 1_024
"""Cells of the scores' histogram, `score_bin` says which is whose."""

_BINS_AN_OCTAVE = 16
_HALF = SCORE_BINS // 2
_LOWEST_OCTAVE = -20

Cells = npt.NDArray[Any]


def _latencies() -> Cells:
    return np.zeros(LATENCY_BINS, np.int64)


def _scores() -> Cells:
    return np.zeros(SCORE_BINS, np.int64)


def _users() -> Cells:
    return np.zeros(USER_BUCKETS, np.float64)


@dataclass(frozen=True, slots=True)
class ArmOutcomes:
    """One release's answers so far.

    Attributes:
        num_answers: requests that the release was asked, errors included.
        num_errors: of ours, not of the caller; where live answered instead.
        num_non_finite: slates with a score that is no number, or infinite.
        num_late: answers in which a stage was late.
        latencies: int64 [LATENCY_BINS], time in the engine of answers at FULL, in the
            buckets of base.latency_histogram.
        scores: int64 [SCORE_BINS], mean score of a slate at FULL.
        slates, responses, predicted: float64 [USER_BUCKETS], by user bucket: slates
            that stages made, events that name them, and the sum of the first
            objective's probabilities.
        flat: float64 [USER_BUCKETS], slates of two items or more whose scores are all
            the same.
        short: float64 [USER_BUCKETS], slates with fewer items than were asked for.
        answered: float64 [USER_BUCKETS], answers of any tier; errors are none.
        degraded: float64 [USER_BUCKETS], answers of a tier below the decided one, or
            without all that their sources have, and no stage was late.
    """

    num_answers: int = 0
    num_errors: int = 0
    num_non_finite: int = 0
    num_late: int = 0
    latencies: Cells = field(default_factory=_latencies)
    scores: Cells = field(default_factory=_scores)
    slates: Cells = field(default_factory=_users)
    responses: Cells = field(default_factory=_users)
    predicted: Cells = field(default_factory=_users)
    flat: Cells = field(default_factory=_users)
    short: Cells = field(default_factory=_users)
    answered: Cells = field(default_factory=_users)
    degraded: Cells = field(default_factory=_users)

    @property
    def num_users(self) -> int:
        """User buckets for which stages made a slate."""
        return int(np.count_nonzero(self.slates))


def score_bin(score: float) -> int:
    """Returns the bin of a finite score, 0 <= bin < SCORE_BINS, in the scores' order.

    Each octave has 16 bins on either side of 0, from 1e-6 to 4e3; beyond is clamped.
    Cost: about 0.3 us.
    """
    if score == 0.0:
        return _HALF
    place = int(_BINS_AN_OCTAVE * (math.log2(abs(score)) - _LOWEST_OCTAVE))
    place = min(max(place, 0), _HALF - 2)
    return _HALF + 1 + place if score > 0 else _HALF - 1 - place


def score_bins(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Returns `score_bin` of each of [N] finite scores."""
    with np.errstate(divide="ignore"):
        octaves = np.log2(np.abs(scores)) - _LOWEST_OCTAVE
    places = np.clip(_BINS_AN_OCTAVE * octaves, 0, _HALF - 2).astype(np.int64)
    bins = np.where(scores > 0, _HALF + 1 + places, _HALF - 1 - places)
    return np.where(scores == 0.0, _HALF, bins)
