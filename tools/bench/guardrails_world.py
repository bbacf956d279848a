"""A made-up site with a canary: what guardrails see of it, second by second.

Users differ in all that answers are judged by (how often they come, how long theirs
take, what they respond to), bad seconds strike both releases, and a canary's answers
find the caches cold: a false alarm would come from one of these. Seeded; one second of
the site costs about 0.5 ms.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.base.latency_histogram import upper_edge_us
from stepwell.experiments.arm_outcomes import (
    LATENCY_BINS,
    SCORE_BINS,
    USER_BUCKETS,
    ArmOutcomes,
    Cells,
    score_bins,
)

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Site:
    """What the traffic is like.

    Attributes:
        num_users: who come; how often is log-normal.
        rate: requests a second.
        share: of the users, whose answers are the canary's.
        responses: per slate of live, on average; at most ten.
        outages: share of the seconds in which a fifth of all requests fail.
        odd_share: of the users, every other of whose answers is short, and of as many
            others, degraded.
        cold_factor: the time of a canary's answer beside live's, with nothing wrong.
    """

    num_users: int = 20_000
    rate: float = 400.0
    share: float = 0.05
    responses: float = 1.0
    outages: float = 0.01
    odd_share: float = 0.02
    cold_factor: float = 1.25


@dataclass(frozen=True, slots=True)
class Fault:
    """How the canary is worse than live; the defaults are an A/A canary.

    Attributes:
        slowness: factor on the time of its answers.
        crashes, non_finite, short, degraded: share of its answers.
        fewer_responses: relative.
        score_shift: in standard deviations of the scores.
    """

    slowness: float = 1.0
    crashes: float = 0.0
    non_finite: float = 0.0
    short: float = 0.0
    degraded: float = 0.0
    fewer_responses: float = 0.0
    score_shift: float = 0.0


class World:
    """One run of a site, from the canary's first second on."""

    def __init__(self, site: Site, fault: Fault, seed: int) -> None:
        self._site = site
        self._fault = fault
        self._rng = rng = np.random.default_rng(seed)
        number = site.num_users
        weights = rng.lognormal(0.0, 1.0, number)
        self._comes = np.cumsum(weights / weights.sum())
        self._is_canarys = rng.random(number) < site.share
        self._bucket = rng.integers(0, USER_BUCKETS, number)
        self._user_ms = 6.0 * rng.lognormal(0.0, 0.2, number)
        self._taste = rng.gamma(3.0, site.responses / 30.0, number).clip(0, 1)
        self._user_score = rng.normal(0.0, 0.3, number)
        self._gets_short = rng.random(number) < site.odd_share
        # A stream of its own: the others are as they were without it.
        self._degrading_rng = np.random.default_rng((seed, 1))
        self._gets_degraded = self._degrading_rng.random(number) < site.odd_share
        self._live, self._canary = _Arm(), _Arm()

    def seconds(self, number: int) -> Iterator[tuple[ArmOutcomes, ArmOutcomes]]:
        """Yields live's and the canary's outcomes after each second."""
        for _ in range(number):
            self._step()
            yield self._live.outcomes(), self._canary.outcomes()

    def _step(self) -> None:
        rng = self._rng
        number = int(rng.poisson(self._site.rate))
        places = np.searchsorted(self._comes, rng.random(number))
        users = np.minimum(places, self._site.num_users - 1)
        stalled = rng.random(number) < (0.1 if rng.random() < 0.05 else 0.0)
        failing = rng.random(number) < (
            0.2 if rng.random() < self._site.outages else 1e-4
        )
        is_canarys = self._is_canarys[users]
        for arm, chosen in ((self._live, ~is_canarys), (self._canary, is_canarys)):
            fault = self._fault if arm is self._canary else Fault()
            cold = self._site.cold_factor if arm is self._canary else 1.0
            self._answer(
                arm, fault, cold, users[chosen], stalled[chosen], failing[chosen]
            )

    def _answer(
        self,
        arm: "_Arm",
        fault: Fault,
        cold: float,
        users: npt.NDArray[np.intp],
        stalled: Flags,
        failing: Flags,
    ) -> None:
        rng, number = self._rng, len(users)
        arm.num_answers += number
        failed = failing | (rng.random(number) < fault.crashes)
        arm.num_errors += int(failed.sum())
        users, stalled = users[~failed], stalled[~failed]
        number = len(users)
        ms = self._user_ms[users] * rng.lognormal(0.0, 0.5, number)
        ms = ms * fault.slowness * cold + 20.0 * stalled
        arm.num_non_finite += int((rng.random(number) < fault.non_finite).sum())
        cells = self._bucket[users]
        arm.short += _odd(rng, cells, self._gets_short[users], fault.short)
        is_prone = self._gets_degraded[users]
        arm.degraded += _odd(self._degrading_rng, cells, is_prone, fault.degraded)
        arm.num_late += int((ms > 40.0).sum())
        score = self._user_score[users] + rng.normal(0.0, 0.3, number)
        arm.time_and_score(ms * 1e3, np.exp(score + 0.42 * fault.score_shift - 2.0))
        taste = self._taste[users] * (1 - fault.fewer_responses)
        arm.slates += np.bincount(cells, minlength=USER_BUCKETS)
        arm.answered += np.bincount(cells, minlength=USER_BUCKETS)
        clicks = rng.binomial(10, taste)
        arm.responses += np.bincount(cells, clicks, minlength=USER_BUCKETS)
        # The model knows some of the taste.
        guess = 5.0 * (self._taste[users] + self._site.responses / 10)
        arm.predicted += np.bincount(cells, guess, minlength=USER_BUCKETS)


def _odd(
    rng: np.random.Generator, cells: Cells, is_prone: Flags, share: float
) -> Cells:
    """Counts by cell: every other answer of users prone to it, and a share of all."""
    odd = is_prone & (rng.random(len(cells)) < 0.5)
    odd |= rng.random(len(cells)) < share
    return np.bincount(cells, odd, minlength=USER_BUCKETS)


_UPPER_EDGES_US = np.array([upper_edge_us(bucket) for bucket in range(LATENCY_BINS)])


class _Arm:
    def __init__(self) -> None:
        self.num_answers = self.num_errors = self.num_non_finite = 0
        self.num_late = 0
        self.short = np.zeros(USER_BUCKETS)
        self.answered = np.zeros(USER_BUCKETS)
        self.degraded = np.zeros(USER_BUCKETS)
        self.slates = np.zeros(USER_BUCKETS)
        self.responses = np.zeros(USER_BUCKETS)
        self.predicted = np.zeros(USER_BUCKETS)
        self._latencies = np.zeros(LATENCY_BINS, np.int64)
        self._scores = np.zeros(SCORE_BINS, np.int64)

    def time_and_score(self, us: Floats, scores: Floats) -> None:
        buckets = np.searchsorted(_UPPER_EDGES_US, us.astype(np.int64))
        self._latencies += np.bincount(buckets, minlength=LATENCY_BINS)
        bins = score_bins(scores)
        self._scores += np.bincount(bins, minlength=SCORE_BINS)

    def outcomes(self) -> ArmOutcomes:
        return ArmOutcomes(
            num_answers=self.num_answers,
            num_errors=self.num_errors,
            num_non_finite=self.num_non_finite,
            num_late=self.num_late,
            latencies=self._latencies,
            scores=self._scores,
            slates=self.slates,
            responses=self.responses,
            predicted=self.predicted,
            short=self.short,
            answered=self.answered,
            degraded=self.degraded,
        )
