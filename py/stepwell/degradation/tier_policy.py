"""Which tier a request gets: a pure function of a snapshot, in integer microseconds.

The rule fits each request to its own budget at the moment it leaves the queue. Server
and simulator import this very module.

Source: the simulation behind this project's ladder; under 3x overload a global switch
on p99 answered 93 to 96 % in budget, this rule 100 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from stepwell.base.errors import check_range
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.trim import HIGHEST_FIT_PPM

MILLION = 1_000_000
_TIE_HALF_WIDTH_PPM = 50_000
CALM_PART = 8
"""Waiting for this part of a request's budget is no waiting."""
_BELOW = {tier: tier.below for tier in BEST_FIRST}
_ABOVE = {tier: tier.above for tier in BEST_FIRST}


@dataclass(frozen=True, slots=True)
class TierCost:
    """What one request costs at a tier, microseconds of a worker.

    `is_live` is False when no sample is fresh and the model card's figure stands in,
    `is_sure` when too few are to know the tier by.
    """

    p95_us: int
    mean_us: int
    is_live: bool = True
    is_sure: bool = True


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """Shares of traffic in parts per million.

    Attributes:
        probe_ppm: of the requests with slack that try one tier up while it is unused
            and the server is busy; all do while it is idle, unless this is 0.
        exercise_ppm: of healthy traffic that is served from each lower tier.
    """

    probe_ppm: int = 30_000
    exercise_ppm: int = 5_000

    def __post_init__(self) -> None:
        check_range("probe_ppm", self.probe_ppm, 0, MILLION)
        check_range("exercise_ppm", self.exercise_ppm, 0, MILLION)


@dataclass(slots=True)
class PolicySnapshot:
    """All that the decision may depend on.

    Not frozen: that would make it cost more than the decision. Nobody changes one.

    Attributes:
        age_us: time since the request arrived.
        budget_us: time it should take from arrival to answer: the service's latency
            budget, or the deadline where that is sooner.
        deadline_us: time from arrival to its deadline; past it nobody listens.
        num_waiting: requests that wait behind it and would be taken before a new one of
            its priority.
        costs: of every tier.
        fit_ppm: LADDER's f, the share of the budget a request may plan for.
        blocked: tiers that cannot be used now, and why.
        forced: the one tier that is asked for, or None.
        has_release: False while no release is live.
        parallelism: threads that answer, each one request or one batch at a time.
        batch_size: requests that one thread answers at once.
        highest_fit_ppm: what the users' draw never lifts f over.
        drain_us: by tier, the time between two that leave a waiting queue for it, as
            far as it was measured; it holds what surrounds the work, too.
        user_draw: 0 <= draw < 1e6, a hash of the user: decides ties, so that a session
            stays on one tier.
        request_draw: 0 <= draw < 1e6, a hash of the request: chooses probes and
            exercise.
    """

    age_us: int
    budget_us: int
    deadline_us: int
    num_waiting: int
    costs: Mapping[Tier, TierCost]
    fit_ppm: int = 500_000
    blocked: Mapping[Tier, Reason] = field(default_factory=dict)
    forced: Tier | None = None
    has_release: bool = True
    user_draw: int = MILLION // 2
    request_draw: int = MILLION - 1
    parallelism: int = 1
    batch_size: int = 1
    highest_fit_ppm: int = HIGHEST_FIT_PPM
    drain_us: Mapping[Tier, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TierDecision:
    """The tier to serve, or None when the request cannot be served any more.

    `reasons` are empty for a plain FULL answer.
    """

    tier: Tier | None
    reasons: tuple[Reason, ...] = ()


class TierPolicy:
    """LADDER's rule 2 with probes and exercise.

    Concurrency: stateless. Cost: about 2 us.
    """

    def __init__(self, options: PolicyOptions | None = None) -> None:
        self._options = options or PolicyOptions()

    def decide(self, snapshot: PolicySnapshot) -> TierDecision:
        """Returns the best tier whose dependencies are up and whose cost fits."""
        if not snapshot.has_release:
            return _decision(None, (Reason.NO_RELEASE,))
        if snapshot.age_us >= snapshot.deadline_us:
            return _decision(None, ())
        if snapshot.forced is not None:
            return self._forced(snapshot, snapshot.forced)
        fitting = self._fitting(snapshot)
        if fitting.tier is Tier.FULL:
            return self._exercised(snapshot, fitting)
        return self._probed(snapshot, fitting)

    def _probes(self, snapshot: PolicySnapshot) -> bool:
        return snapshot.request_draw < self._options.probe_ppm

    def _forced(self, snapshot: PolicySnapshot, forced: Tier) -> TierDecision:
        """The forced tier, or the next one down that is up and makes the deadline.

        A forced tier may take all of the deadline in place of a share of the budget,
        and no more: asking for FULL is open to every caller and no way round a queue.
        """
        found = _first_fitting(snapshot, forced, snapshot.deadline_us)
        return _decision(found.tier, (Reason.FORCED, *found.reasons))

    def _fitting(self, snapshot: PolicySnapshot) -> TierDecision:
        """The best tier that fits; POPULAR in a flood.

        When those behind it would wait even at POPULAR, a request makes room for them:
        a longer queue would give nobody a better tier, and make late whom a busy
        machine delays.
        """
        flood_us = CALM_PART * backlog_us(snapshot, Tier.POPULAR)
        limit = 0 if flood_us > snapshot.budget_us else limit_us(snapshot)
        return _first_fitting(snapshot, Tier.FULL, limit)

    def _exercised(
        self, snapshot: PolicySnapshot, fitting: TierDecision
    ) -> TierDecision:
        share, draw = self._options.exercise_ppm, snapshot.request_draw
        if draw >= 2 * share:
            return fitting
        lower = Tier.REDUCED if draw < share else Tier.POPULAR
        if lower in snapshot.blocked:
            return fitting
        return _decision(lower, (Reason.EXERCISE,))

    def _probed(self, snapshot: PolicySnapshot, fitting: TierDecision) -> TierDecision:
        """One tier up for requests with slack, to learn whether it is well again.

        Only while that tier is unused, which leaves too few samples to know it by. A
        few requests try it; all do that find the server idle, for they delay nobody: a
        wrong model card must not keep an idle server on a lower tier.

        Slack is judged by the whole budget: a probe that turns out late steps down in
        flight. A blocked tier is probed by its breaker, not here.
        """
        if fitting.tier is None:
            return fitting
        better = _ABOVE[fitting.tier]
        if snapshot.costs[better].is_sure or better in snapshot.blocked:
            return fitting
        is_free = is_idle(snapshot) and self._options.probe_ppm > 0
        if not is_free and not self._probes(snapshot):
            return fitting
        if planned_us(snapshot, better) > snapshot.budget_us:
            return fitting
        return _decision(better, (Reason.PROBE,))


@cache
def _decision(tier: Tier | None, reasons: tuple[Reason, ...]) -> TierDecision:
    """Decisions are few: each is made once."""
    return TierDecision(tier, reasons)


def _first_fitting(snapshot: PolicySnapshot, best: Tier, limit: int) -> TierDecision:
    """The best tier from `best` down that is up and planned within `limit` us.

    POPULAR always fits: there is nothing below it.
    """
    reasons: tuple[Reason, ...] = ()
    for tier in BEST_FIRST:
        if tier > best:
            continue
        reason = snapshot.blocked.get(tier)
        if reason is None:
            if tier is Tier.POPULAR or planned_us(snapshot, tier) <= limit:
                return _decision(tier, reasons)
            reason = Reason.BACKLOG
        if reason not in reasons:
            reasons = (*reasons, reason)
    return _decision(None, reasons)


def is_idle(snapshot: PolicySnapshot) -> bool:
    """True when nobody waits, nor has waited for long.

    A request that is old although nobody waits behind it was kept waiting by others.
    """
    is_young = snapshot.age_us * CALM_PART <= snapshot.budget_us
    return is_young and not snapshot.num_waiting


def planned_us(snapshot: PolicySnapshot, tier: Tier) -> int:
    """Returns age + p95 of the tier + the backlog served one tier lower."""
    below = _BELOW[tier]
    return snapshot.age_us + snapshot.costs[tier].p95_us + backlog_us(snapshot, below)


def backlog_us(snapshot: PolicySnapshot, tier: Tier) -> int:
    """Returns how long those waiting take at a tier.

    That is their work in batches, spread over the threads, or what the queue was seen
    to take for them where that is longer.
    """
    waiting = snapshot.num_waiting
    if not waiting:
        return 0
    num_batches = -(-waiting // snapshot.batch_size)
    work_us = num_batches * snapshot.costs[tier].mean_us // snapshot.parallelism
    seen_us = waiting * snapshot.drain_us.get(tier, 0)
    return max(work_us, seen_us)


def limit_us(snapshot: PolicySnapshot) -> int:
    """Returns the share of the budget that may be planned for.

    The user's draw moves it by up to 5 % either way: near the limit the same users get
    the better tier every time, in place of every user now and then. It never moves it
    past the highest f.
    """
    tilt_ppm = (MILLION - 2 * snapshot.user_draw) * _TIE_HALF_WIDTH_PPM // MILLION
    share_ppm = snapshot.fit_ppm * (MILLION + tilt_ppm) // MILLION
    if share_ppm > snapshot.highest_fit_ppm:
        share_ppm = snapshot.highest_fit_ppm
    return snapshot.budget_us * share_ppm // MILLION
