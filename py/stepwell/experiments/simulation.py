"""Experiments that never were: arms dealt to what real users did, again and again.

Without a difference every alarm is false, and how many there are is the check of the
tests; with one that is put in, it is told how soon they find it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import ndtri

from stepwell.experiments.assignment import NUM_BUCKETS, Layer
from stepwell.experiments.cuped import ArmSums, adjusted
from stepwell.experiments.panel import (
    Floats,
    Look,
    LookOptions,
    Members,
    Occasions,
    Panel,
    looks,
)
from stepwell.experiments.ratio_metric import Difference
from stepwell.experiments.sample_ratio import MISMATCH, sample_ratio_p_value

_BATCH_RUNS = 100


@dataclass(frozen=True, slots=True)
class History:
    """What U users did.

    Attributes:
        user_ids: U ids, as assignment hashes them.
        occasions: of these users; y is 0 or 1.
        before: float64 [U, C], what was known of each before the first occasion.
    """

    user_ids: Sequence[str]
    occasions: Occasions
    before: Floats


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """What is simulated.

    Attributes:
        num_runs: experiments, each with a salt of its own.
        num_looks: at each, evenly over what happened.
        looks: how looks judge.
        lost_share: of the treated users' hits, taken away at random; 0 makes the arms
            the same.
        seed: of the salts and of what is taken away.
    """

    num_runs: int = 1_000
    num_looks: int = 500
    looks: LookOptions = field(default_factory=lambda: LookOptions(alpha=0.01))
    lost_share: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """In how many of the runs a difference was called; false where there is none.

    Attributes:
        num_users, num_occasions: of the history.
        num_looks: at each run.
        found: by the always-valid test, at any look, adjusted by what was known of the
            users before.
        found_plain: the same without adjusting.
        found_by_peeking: by a test for one look, taken at every look.
        found_at_end: by that test at the last look alone.
        found_adjusted: the same, adjusted.
        variance_kept: mean of the adjusted variance in parts of the plain one.
        mismatches: runs whose arms were not of the size that was dealt.
        median_occasions: seen of both arms when half of the runs had found it; nan
            where fewer than half did.
    """

    num_runs: int
    num_users: int
    num_occasions: int
    num_looks: int
    alpha: float
    lost_share: float
    found: int
    found_plain: int
    found_by_peeking: int
    found_at_end: int
    found_adjusted: int
    variance_kept: float
    mismatches: int
    median_occasions: float


@dataclass(frozen=True, slots=True)
class _Run:
    first: int | None
    first_plain: int | None
    peeked: bool
    at_end: bool
    by_past: bool
    variance_kept: float
    mismatch: bool


def simulate(
    history: History,
    options: SimulationOptions,
    on_progress: Callable[[int, int], None] | None = None,
) -> SimulationResult:
    """Deals the arms `num_runs` times and looks as a report would.

    Cost: some 50 ms a run of 500 looks at 2,500 users.
    """
    simulation = _Simulation(history, options)
    runs: list[_Run] = []
    while len(runs) < options.num_runs:
        size = min(_BATCH_RUNS, options.num_runs - len(runs))
        runs += simulation.runs(range(len(runs), len(runs) + size))
        if on_progress is not None:
            on_progress(len(runs), options.num_runs)
    return simulation.result(runs)


class _Simulation:
    def __init__(self, history: History, options: SimulationOptions) -> None:
        self._history, self._options = history, options
        occasions, before = history.occasions, history.before
        ends = np.linspace(0, len(occasions.times) - 1, options.num_looks + 1)[1:]
        self._times = np.unique(np.sort(occasions.times)[ends.astype(np.int64)])
        self._panel = Panel.of(occasions, before, self._times)
        kept = np.random.default_rng(options.seed).random(len(occasions.y))
        fewer = replace(occasions, y=occasions.y * (kept >= options.lost_share))
        self._treated = Panel.of(fewer, before, self._times)

    def runs(self, numbers: range) -> list[_Run]:
        members = np.stack([self._members(number) for number in numbers])
        controls, treated = self._panel.sums(~members), self._treated.sums(members)
        return [self._run(*one) for one in zip(members, controls, treated, strict=True)]

    def result(self, runs: list[_Run]) -> SimulationResult:
        times = np.sort(self._history.occasions.times)
        firsts = [math.inf if run.first is None else run.first for run in runs]
        middle = sorted(firsts)[len(firsts) // 2]
        seen = (
            np.searchsorted(times, middle, "right") if middle < math.inf else math.nan
        )
        return SimulationResult(
            num_runs=len(runs),
            num_users=len(self._history.user_ids),
            num_occasions=len(times),
            num_looks=len(self._times),
            alpha=self._options.looks.alpha,
            lost_share=self._options.lost_share,
            found=sum(run.first is not None for run in runs),
            found_plain=sum(run.first_plain is not None for run in runs),
            found_by_peeking=sum(run.peeked for run in runs),
            found_at_end=sum(run.at_end for run in runs),
            found_adjusted=sum(run.by_past for run in runs),
            variance_kept=float(np.mean([run.variance_kept for run in runs])),
            mismatches=sum(run.mismatch for run in runs),
            median_occasions=float(seen),
        )

    def _members(self, number: int) -> Members:
        """Who is treated: the half that a salt of its own deals."""
        layer = Layer("simulation", f"{self._options.seed}-{number}", ())
        users = self._history.user_ids
        return np.array([layer.bucket_of(u) < NUM_BUCKETS // 2 for u in users])

    def _run(
        self,
        members: Members,
        control: list[ArmSums],
        treated: list[ArmSums],
    ) -> _Run:
        options = self._options.looks
        plain = looks(
            self._times, control, treated, replace(options, is_adjusted=False)
        )
        found = looks(self._times, control, treated, options)
        limit = float(ndtri(1 - options.alpha / 2))
        better = adjusted(control[-1], treated[-1])
        sizes = [int((~members).sum()), int(members.sum())]
        return _Run(
            first=_first(found, options.alpha),
            first_plain=_first(plain, options.alpha),
            peeked=any(_exceeds(look.difference, limit) for look in plain),
            at_end=_exceeds(plain[-1].difference, limit),
            by_past=_exceeds(better.difference, limit),
            variance_kept=better.variance_kept,
            mismatch=sample_ratio_p_value(sizes, [1, 1]) < MISMATCH,
        )


def _first(found: Sequence[Look], alpha: float) -> int | None:
    """The time of the look that called a difference."""
    return next((look.time_seconds for look in found if look.p_value <= alpha), None)


def _exceeds(gap: Difference, limit: float) -> bool:
    return gap.variance > 0 and abs(gap.effect) > limit * math.sqrt(gap.variance)
