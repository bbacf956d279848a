"""Tests that may be looked at after every request: always-valid p-values.

A likelihood ratio against "no difference", averaged over the differences that there may
be, is a martingale while there is none; that it ever exceeds 1 / alpha has therefore at
most the probability alpha, however often and whenever somebody looks (Ville). The
p-value is one over its largest value so far.

Source: Johari, Koomen, Pekelis and Walsh, "Always Valid Inference: Continuous
Monitoring of A/B Tests", Operations Research 70(3), 2022 (arXiv:1512.04922): the
mixture sequential probability ratio test. The mixtures are from Robbins, "Statistical
Methods Related to the Law of the Iterated Logarithm", Annals of Mathematical Statistics
41(5), 1970. Differences: one-sided mixtures beside theirs; the variance is estimated as
in their section 6, which makes the normal one right for many units, not for few.
"""

import math
from typing import Literal

from stepwell.base.errors import InvalidArgumentError, check_range
from stepwell.experiments.special_functions import (
    beta_above,
    beta_below,
    log_beta,
    log_normal_below,
)

Side = Literal["two_sided", "greater", "less"]
"""The alternatives: a true difference of any sign, above 0, below 0."""

MIN_UNITS = 100
"""Units an arm needs before the normal test means what it says."""

_LOG_2 = math.log(2.0)
_PRIOR = 0.5
"""Both parameters of the beta mixture: Jeffreys' prior."""


def normal_log_ratio(
    effect: float, variance: float, scale: float, side: Side = "two_sided"
) -> float:
    """Returns the log of the mixture likelihood ratio of an estimated difference.

    Args:
        effect: the difference as estimated from all data so far.
        variance: its squared standard error, now.
        scale: standard deviation of the mixture, in the unit of `effect` and fixed
            beforehand: about the difference that should be found soonest. Another one
            costs time to detection, never validity.
        side: one-sided takes the half of the mixture that lies there.
    Returns:
        0 without evidence, and where `effect` or `variance` says nothing yet (not
        finite, or no variance). Cost: about 1 us.
    Raises:
        InvalidArgumentError: scale is not positive.
    """
    if not scale > 0:
        raise InvalidArgumentError(f"scale is {scale}, must be > 0", "scale")
    if not (math.isfinite(effect) and math.isfinite(variance) and variance > 0):
        return 0.0
    mixed = scale * scale
    both = variance + mixed
    ratio = 0.5 * math.log(variance / both)
    ratio += effect * effect * mixed / (2 * variance * both)
    if side == "two_sided":
        return ratio
    sign = 1.0 if side == "greater" else -1.0
    side_z = sign * effect * scale / math.sqrt(variance * both)
    return ratio + _LOG_2 + log_normal_below(side_z)


def share_log_ratio(
    num_hits: int,
    num_trials: int,
    share: float,
    side: Side = "two_sided",
    hits_prior: float = _PRIOR,
) -> float:
    """Returns the log of the mixture likelihood ratio of hits against a known share.

    Two arms' rates of a rare thing, such as errors, compare by it exactly: of the
    errors of both (trials), those of one arm (hits) should be that arm's share of the
    requests. No minimum count is needed.

    Args:
        num_hits: 0 <= num_hits <= num_trials.
        num_trials: independent trials so far.
        share: probability of a hit when there is no difference, 0 < share < 1.
        side: one-sided takes the part of the mixture beyond `share`.
        hits_prior: the mixture's first parameter; a large one expects nearly all to be
            hits, and is sooner sure where they are.
    Raises:
        InvalidArgumentError: a number is out of its range.
    """
    check_range("num_hits", num_hits, 0, num_trials)
    if not 0.0 < share < 1.0:
        raise InvalidArgumentError(f"share is {share}, must be in (0, 1)", "share")
    hits, misses = num_hits + hits_prior, num_trials - num_hits + _PRIOR
    under_mixture = log_beta(hits, misses) - log_beta(hits_prior, _PRIOR)
    if side != "two_sided":
        part = beta_above if side == "greater" else beta_below
        kept = part(hits, misses, share)
        if kept <= 0.0:
            return -math.inf
        under_mixture += math.log(kept) - math.log(part(hits_prior, _PRIOR, share))
    under_null = num_hits * math.log(share)
    under_null += (num_trials - num_hits) * math.log1p(-share)
    return under_mixture - under_null


def p_value(log_ratio: float) -> float:
    """Returns the p-value of one look, in [0, 1]."""
    return math.exp(-max(log_ratio, 0.0))


def half_width(variance: float, scale: float, alpha: float) -> float:
    """Returns half the width of the interval that holds at all looks together.

    The differences that `normal_log_ratio`, two-sided, does not reject at `alpha`; nan
    where the variance says nothing yet.
    """
    if not (math.isfinite(variance) and variance > 0):
        return math.nan
    mixed = scale * scale
    both = variance + mixed
    room = 2 * math.log(1 / alpha) + math.log(both / variance)
    return math.sqrt(variance * both / mixed * room)


class SequentialTest:
    """The looks at one comparison, one after the other.

    Args:
        alpha: bound on the probability that a difference is ever called where there is
            none, 0 < alpha < 1.

    Concurrency: one thread.
    """

    def __init__(self, alpha: float) -> None:
        if not 0.0 < alpha < 1.0:
            raise InvalidArgumentError(f"alpha is {alpha}, must be in (0, 1)", "alpha")
        self._alpha = alpha
        self._p_value = 1.0

    @property
    def p_value(self) -> float:
        """The smallest of all looks so far; valid whenever one stops."""
        return self._p_value

    def look(self, log_ratio: float) -> bool:
        """Takes a look; returns whether this or an earlier one found a difference."""
        self._p_value = min(self._p_value, p_value(log_ratio))
        return self._p_value <= self._alpha
