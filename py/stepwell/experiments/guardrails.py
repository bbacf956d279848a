"""When a canary must go: a pure verdict on its answers beside those of live.

Every rule is a test that may be looked at after each request, as `always_valid` says,
at its own share of one budget, `FALSE_ALARMS`: a canary that is as good as live is
taken down with at most that probability, however long it runs.

What is bad about one answer (an error, a late one, an empty one) is compared by whose
it is: of two releases that are alike, the canary has its share of the bad answers as it
has of the answers. A fault that strikes both, such as a slow disk, moves neither side.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from stepwell.base.latency_histogram import upper_edge_us
from stepwell.experiments.always_valid import (
    MIN_UNITS,
    Side,
    normal_log_ratio,
    share_log_ratio,
)
from stepwell.experiments.arm_outcomes import LATENCY_BINS, ArmOutcomes, Cells
from stepwell.experiments.ratio_metric import RatioSums

FALSE_ALARMS = {
    "errors": 0.004,
    "non_finite": 0.0002,
    "flat": 0.0002,
    "short": 0.0002,
    "degraded": 0.0002,
    "late": 0.0002,
    "slow_p50": 0.0002,
    "slow_p95": 0.0002,
    "slow_p99": 0.0002,
    "score_shift": 0.0002,
    "calibration": 0.0002,
    "responses": 0.004,
}
"""Probability that a rule ever takes down a canary that is as good; 1 % in all."""

_NEARLY_ALL = 4.5
"""Of a mixture that expects the canary to have nearly all of what is bad."""

_TRUST_IN_COUNTS = 0.9
"""Weight of the users' number beside the part of their answers: the sooner one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as worse; a canary within them may stay for ever.

    Attributes:
        min_timed: FULL answers of live that its quantiles are read from.
        slow_factor: the canary may take so many times as long. Its answers are rare, so
            they find the caches cold: alike is not equally fast.
        odd_factor: so many times the share of its users may have a short or flat slate:
            whose are so hangs on the users, and it has its own.
        late_factor, late_share: the share of its answers in which a stage was late, and
            of its users who got degraded ones, may be so many times live's, or so large
            where live's is smaller: a little more time makes many more of both where
            few are.
        psi: population stability index of the scores by live's tenths, which tells
            apart what is a fifth or more away. 0.25 is what most call a shift.
        min_slates: of the canary, before its scores are compared.
        calibration_factor: responses per predicted response may be so many times
            live's, or one over it.
        response_scale: relative change in responses per slate that is found soonest.
        min_responses: that the canary's slates would have at live's rate; also odd
            answers, before their part of all is compared.
        min_units: effective number of users of either arm: as many as would, each with
            the same number of slates, tell as much.
    """

    min_timed: int = 100
    slow_factor: float = 1.5
    odd_factor: float = 2.0
    late_factor: float = 4.0
    late_share: float = 0.02
    psi: float = 0.25
    min_slates: int = 100
    calibration_factor: float = 1.5
    response_scale: float = 0.1
    min_responses: int = 30
    min_units: int = MIN_UNITS


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first rule that a canary broke, None while it may stay.

    Attributes:
        reason: name of the rule, a key of FALSE_ALARMS; "" while it may stay.
        evidence: figures of it, one sentence.
    """

    reason: str = ""
    evidence: str = ""

    @property
    def is_ok(self) -> bool:
        """No rule was broken."""
        return not self.reason


_OK = Verdict()


def verdict(
    live: ArmOutcomes, canary: ArmOutcomes, limits: Limits | None = None
) -> Verdict:
    """Returns whether the canary may stay.

    Args:
        live, canary: answers since the canary began, given to users by a hash of their
            ids, so that the arms differ in nothing else.
    Cost: about 0.3 ms.
    """
    limits = limits or Limits()
    return _first(rule(live, canary, limits) for rule in _RULES)


def _first(found: Iterable[Verdict]) -> Verdict:
    return next((one for one in found if not one.is_ok), _OK)


def _broken(live: ArmOutcomes, canary: ArmOutcomes, _: Limits) -> Verdict:
    bad = canary.num_non_finite
    if bad and not live.num_non_finite:
        # One is enough: numbers do not break by chance.
        text = f"{bad} of {canary.num_answers} slates have scores that are no numbers"
        return Verdict("non_finite", f"{text}; of live's none has")
    return _first(
        _share(
            reason,
            (getattr(live, f"num_{reason}"), live.num_answers),
            (getattr(canary, f"num_{reason}"), canary.num_answers),
        )
        for reason in ("non_finite", "errors")
    )


def _late(live: ArmOutcomes, canary: ArmOutcomes, limits: Limits) -> Verdict:
    usual = (live.num_late + 1) / (live.num_answers + 1)
    most = max(limits.late_factor * usual, limits.late_share)
    if most >= 1:
        return _OK
    found = share_log_ratio(canary.num_late, canary.num_answers, most, "greater")
    if found < -math.log(FALSE_ALARMS["late"]):
        return _OK
    text = f"a stage was late in {canary.num_late} of {canary.num_answers} answers"
    of_live = f"of live's in {live.num_late} of {live.num_answers}"
    return Verdict("late", f"{text}, {of_live}")


def _odd(live: ArmOutcomes, canary: ArmOutcomes, limits: Limits) -> Verdict:
    arms, most = (live, canary), (limits.odd_factor, 0.0)
    return _first(
        _by_user(reason, "slates", arms, limits, most) for reason in ("flat", "short")
    )


def _degraded(live: ArmOutcomes, canary: ArmOutcomes, limits: Limits) -> Verdict:
    most = (limits.late_factor, limits.late_share)
    return _by_user("degraded", "answered", (live, canary), limits, most)


def _by_user(
    reason: str,
    whole: str,
    arms: tuple[ArmOutcomes, ArmOutcomes],
    limits: Limits,
    most: tuple[float, float],
) -> Verdict:
    """Compares what hangs on the user: who gets such an answer gets it again.

    Counted are the users, which is exact and tells from the first one on. Where users
    are many their buckets fill up, and of two full sides neither has more: there the
    part of the answers tells, with the buckets as its units.

    Args:
        reason, whole: names of the counts by user: of what is odd, and of all.
        arms: live and the canary.
        most: how many times live's the canary's may be, and how large in any case.
    """
    factor, least = most
    base, tried = (
        RatioSums.of(getattr(arm, reason), getattr(arm, whole)) for arm in arms
    )
    bad_live, bad_canary = (int(np.count_nonzero(getattr(arm, reason))) for arm in arms)
    usual = max(bad_live, math.ceil(least / factor * base.num_units))
    sides = (usual, base.num_units), (bad_canary, tried.num_units)
    by_users = _share_evidence(*sides, factor)
    by_answers = 0.0
    if _enough(base, tried, limits):
        times = max(factor, least / base.ratio)
        by_answers = _ratio_evidence(base, tried, times, times * base.ratio, "greater")
    found = _mean(by_users, by_answers, _TRUST_IN_COUNTS)
    if found < -math.log(FALSE_ALARMS[reason]):
        return _OK
    text = f"{bad_canary} of {tried.num_units} user buckets ({tried.ratio:.2%})"
    of_live = f"{bad_live} of {base.num_units} ({base.ratio:.2%})"
    return Verdict(reason, f"{text}, of live's {of_live}")


def _slow(live: ArmOutcomes, canary: ArmOutcomes, limits: Limits) -> Verdict:
    """Is more of the canary beyond `slow_factor` times live's quantile than of live?

    A canary that is so many times as slow, and no more, has just live's share there.
    """
    num_live, num_canary = int(live.latencies.sum()), int(canary.latencies.sum())
    if num_live < limits.min_timed:
        return _OK
    for reason, permille in (("slow_p50", 500), ("slow_p95", 950), ("slow_p99", 990)):
        usual_us = _quantile_us(live.latencies, permille)
        limit_us = limits.slow_factor * usual_us
        of_live = (_num_above(live.latencies, usual_us), num_live)
        of_canary = (_num_above(canary.latencies, limit_us), num_canary)
        found = _share(reason, of_live, of_canary)
        if not found.is_ok:
            text = f"{of_canary[0]} of {num_canary} answers took over {limit_us:.0f} us"
            return Verdict(reason, f"{text}, live's {reason[5:]} is {usual_us} us")
    return _OK


def _score_shift(live: ArmOutcomes, canary: ArmOutcomes, limits: Limits) -> Verdict:
    """PSI, less what chance alone makes of it.

    Without a shift PSI is about chi-square over the number of independent slates, and
    independent are those of different users. The bound grows with every doubling.
    """
    num_slates = int(canary.scores.sum())
    if num_slates < limits.min_slates or int(live.scores.sum()) < limits.min_slates:
        return _OK
    found, num_groups = psi(_smoothed(live.scores), _smoothed(canary.scores))
    if num_groups < 2:
        return _OK
    doubling = 1 + int(math.log2(num_slates / limits.min_slates))
    alpha = FALSE_ALARMS["score_shift"] / (doubling * (doubling + 1))
    units = 1 / (1 / max(canary.num_users, 1) + 1 / max(live.num_users, 1))
    chance = _chi_square_quantile(num_groups - 1, alpha) / units
    if found <= limits.psi + chance:
        return _OK
    text = f"PSI of {num_slates} slates' scores is {found:.2f}"
    return Verdict("score_shift", f"{text}, at most {limits.psi} + {chance:.2f} may be")


def _calibration(live: ArmOutcomes, canary: ArmOutcomes, limits: Limits) -> Verdict:
    base = RatioSums.of(live.responses, live.predicted)
    tried = RatioSums.of(canary.responses, canary.predicted)
    if not _enough(base, tried, limits):
        return _OK
    both: tuple[tuple[float, Side], ...] = (
        (1 / limits.calibration_factor, "less"),
        (limits.calibration_factor, "greater"),
    )
    for factor, side in both:
        scale = limits.response_scale * base.ratio
        found = _ratio_evidence(base, tried, factor, scale, side)
        if found >= -math.log(FALSE_ALARMS["calibration"] / 2):
            text = f"{tried.ratio:.3g} responses per predicted one"
            return Verdict("calibration", f"{text}, live has {base.ratio:.3g}")
    return _OK


def _responses(live: ArmOutcomes, canary: ArmOutcomes, limits: Limits) -> Verdict:
    base = RatioSums.of(live.responses, live.slates)
    tried = RatioSums.of(canary.responses, canary.slates)
    if not _enough(base, tried, limits):
        return _OK
    scale = limits.response_scale * base.ratio
    found = _ratio_evidence(base, tried, 1.0, scale, "less")
    if found < -math.log(FALSE_ALARMS["responses"]):
        return _OK
    text = f"{tried.ratio:.3g} responses a slate over {tried.num_units} user buckets"
    return Verdict("responses", f"{text}, live has {base.ratio:.3g}")


_RULES: tuple[Callable[[ArmOutcomes, ArmOutcomes, Limits], Verdict], ...] = (
    _broken,
    _odd,
    _degraded,
    _late,
    _slow,
    _score_shift,
    _calibration,
    _responses,
)
"""In the order in which a reason is worth more than the next."""


def psi(live: Cells, canary: Cells) -> tuple[float, int]:
    """Returns the population stability index and the number of groups it is over.

    Args:
        live, canary: [SCORE_BINS], histograms over the same bins. The groups are the
            tenths of live, as near as bins allow; half a slate is added to each.
    """
    before = np.cumsum(live) - live
    # What lies above all of live's is of its last tenth.
    group = np.minimum(before * 10 // max(float(live.sum()), 1.0), 9)
    _, group = np.unique(group, return_inverse=True)
    counts = [np.bincount(group, arm) + 0.5 for arm in (live, canary)]
    expected, actual = (cells / cells.sum() for cells in counts)
    found = (actual - expected) @ np.log(actual / expected)
    return float(found), len(expected)


def _smoothed(scores: Cells) -> Cells:
    """Spreads each slate over half an octave to either side, most of it in the middle.

    Users of whom nothing is known have one score together: two releases whose scores
    are alike must not have them in different groups for a bin's edge between them.
    """
    return np.convolve(scores, _KERNEL, "same")


def _share(reason: str, live: tuple[int, int], canary: tuple[int, int]) -> Verdict:
    """Of the bad answers, are more the canary's than its share?"""
    if _share_evidence(live, canary, 1.0) < -math.log(FALSE_ALARMS[reason]):
        return _OK
    text = f"{canary[0]} of {canary[1]} answers, of live's {live[0]} of {live[1]}"
    return Verdict(reason, text)


def _share_evidence(
    live: tuple[int, int], canary: tuple[int, int], factor: float
) -> float:
    """Log ratio against a canary whose are `factor` times its share of what is bad.

    Args:
        live, canary: bad ones, and all of them.
    """
    (bad_live, num_live), (bad_canary, num_canary) = live, canary
    if not bad_canary or not num_live:
        return -math.inf
    share = factor * num_canary / (factor * num_canary + num_live)
    num_bad = bad_canary + bad_live
    found = share_log_ratio(bad_canary, num_bad, share, "greater")
    # Where live has none, the second is sure sooner.
    sooner = share_log_ratio(bad_canary, num_bad, share, "greater", _NEARLY_ALL)
    return _mean(found, sooner)


def _ratio_evidence(
    base: RatioSums, tried: RatioSums, factor: float, scale: float, side: Side
) -> float:
    """Log ratio against a canary's ratio that is `factor` times live's."""
    bound = factor * base.ratio
    variance = _variance(tried, bound) + factor * factor * base.variance
    return normal_log_ratio(tried.ratio - bound, variance, scale, side)


def _mean(first: float, second: float, weight: float = 0.5) -> float:
    """Log of the mean of two likelihood ratios: a mean of mixtures is one again."""
    parts = (first + math.log(weight), second + math.log1p(-weight))
    return float(np.logaddexp(*parts))


def _variance(tried: RatioSums, ratio: float) -> float:
    """The variance that the canary's ratio would have if `ratio` were the true one.

    Its own estimate is low just when the ratio is low by chance, for counts that are
    small vary little: a test by it would call chance a difference too often.
    """
    squares = tried.yy - 2 * ratio * tried.xy + ratio * ratio * tried.xx
    grown = max(ratio / tried.ratio, 1.0) if tried.ratio > 0 else 1.0
    return max(squares, 0.0) * grown / (tried.x * tried.x)


def _enough(base: RatioSums, tried: RatioSums, limits: Limits) -> bool:
    """Whether sums are nearly normal: of many users, none of whom is most of them."""
    if base.y <= 0 or tried.x * base.ratio < limits.min_responses:
        return False
    return min(sums.x * sums.x / sums.xx for sums in (base, tried)) >= limits.min_units


def _quantile_us(latencies: Cells, permille: int) -> int:
    reached = np.cumsum(latencies) * 1_000 >= latencies.sum() * permille
    return upper_edge_us(int(np.argmax(reached)))


def _num_above(latencies: Cells, limit_us: float) -> int:
    return int(latencies[limit_us < _EDGES_US].sum())


_KERNEL = np.bartlett(17) / np.bartlett(17).sum()
_EDGES_US = np.array([upper_edge_us(bucket) for bucket in range(LATENCY_BINS)])


def _chi_square_quantile(freedom: int, alpha: float) -> float:
    """Returns what chi-square exceeds with probability alpha (Wilson and Hilferty)."""
    ninth = 2 / (9 * freedom)
    return float(
        freedom * (1 - ninth + NormalDist().inv_cdf(1 - alpha) * math.sqrt(ninth)) ** 3
    )
