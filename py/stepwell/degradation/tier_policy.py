"""Which tier a request gets: a pure function of a snapshot, in integer microseconds.

The rule fits each request to its own budget at the moment it leaves the queue. Server
and simulator import this very module.

Source: the simulation behind this project's ladder; under 3x overload a global switch
on p99 answered 93 to 96 % in budget, this rule 100 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.trim import HIGHEST_FIT_PPM

MILLION = 1_000_000
_TIE_HALF_WIDTH_PPM = 50_000


@dataclass(frozen=True, slots=True)
class TierCost:
    """What one request costs at a tier, microseconds of a worker.

    `is_live` is False when no sample is fresh and the model card's figure stands in.
    """

    p95_us: int
    mean_us: int
    is_live: bool = True


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """Shares of traffic in parts per million.

    Attributes:
        probe_ppm: of the requests with slack that try one tier up while it is unused.
        exercise_ppm: of healthy traffic that is served from each lower tier.
    """

    probe_ppm: int = 30_000
    exercise_ppm: int = 5_000


@dataclass(frozen=True, slots=True)
class PolicySnapshot:
    """All that the decision may depend on.

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


@dataclass(frozen=True, slots=True)
class TierDecision:
    """The tier to serve, or None when the request cannot be served any more.

    `reasons` are empty for a plain FULL answer.
    """

    tier: Tier | None
    reasons: tuple[Reason, ...] = ()


class TierPolicy:
    """LADDER's rule 2 with probes and exercise.

    Concurrency: stateless. Cost: about 3 us.
    """

    def __init__(self, options: PolicyOptions | None = None) -> None:
        self._options = options or PolicyOptions()

    def decide(self, snapshot: PolicySnapshot) -> TierDecision:
        """Returns the best tier whose dependencies are up and whose cost fits."""
        if not snapshot.has_release:
            return TierDecision(None, (Reason.NO_RELEASE,))
        if snapshot.age_us >= snapshot.deadline_us:
            return TierDecision(None)
        if snapshot.forced is not None:
            return self._forced(snapshot, snapshot.forced)
        fitting = self._fitting(snapshot)
        if fitting.tier is Tier.FULL:
            return self._exercised(snapshot, fitting)
        return self._probed(snapshot, fitting)

    def _forced(self, snapshot: PolicySnapshot, forced: Tier) -> TierDecision:
        """The forced tier, or the next one down that is up and makes the deadline.

        A forced tier may take all of the deadline in place of a share of the budget,
        and no more: asking for FULL is open to every caller and no way round a queue.
        """
        reasons = [Reason.FORCED]
        for tier in BEST_FIRST:
            if tier > forced:
                continue
            blocked_by = snapshot.blocked.get(tier)
            in_time = planned_us(snapshot, tier) <= snapshot.deadline_us
            if blocked_by is None and (in_time or tier is Tier.POPULAR):
                return TierDecision(tier, tuple(reasons))
            reason = blocked_by if blocked_by is not None else Reason.BACKLOG
            if reason not in reasons:
                reasons.append(reason)
        return TierDecision(None, tuple(reasons))

    def _fitting(self, snapshot: PolicySnapshot) -> TierDecision:
        reasons: list[Reason] = []
        for tier in BEST_FIRST:
            blocked_by = snapshot.blocked.get(tier)
            fits = tier is Tier.POPULAR or planned_us(snapshot, tier) <= limit_us(
                snapshot
            )
            if blocked_by is None and fits:
                return TierDecision(tier, tuple(reasons))
            reason = blocked_by if blocked_by is not None else Reason.BACKLOG
            if reason not in reasons:
                reasons.append(reason)
        return TierDecision(None, tuple(reasons))

    def _exercised(
        self, snapshot: PolicySnapshot, fitting: TierDecision
    ) -> TierDecision:
        share = self._options.exercise_ppm
        lower = (Tier.REDUCED, Tier.POPULAR)
        for place, tier in enumerate(lower):
            drawn = place * share <= snapshot.request_draw < (place + 1) * share
            if drawn and tier not in snapshot.blocked:
                return TierDecision(tier, (Reason.EXERCISE,))
        return fitting

    def _probed(self, snapshot: PolicySnapshot, fitting: TierDecision) -> TierDecision:
        """One tier up for a few requests with slack, to learn whether it is well again.

        Only while that tier is unused: one with fresh samples is known.

        Slack is judged by the whole budget: a probe that turns out late steps down in
        flight. A blocked tier is probed by its breaker, not here.
        """
        if fitting.tier is None or snapshot.request_draw >= self._options.probe_ppm:
            return fitting
        better = fitting.tier.above
        has_slack = planned_us(snapshot, better) <= snapshot.budget_us
        is_known = snapshot.costs[better].is_live
        if better in snapshot.blocked or is_known or not has_slack:
            return fitting
        return TierDecision(better, (Reason.PROBE,))


def planned_us(snapshot: PolicySnapshot, tier: Tier) -> int:
    """Returns age + p95 of the tier + the backlog served one tier lower."""
    backlog_us = snapshot.num_waiting * snapshot.costs[tier.below].mean_us
    return snapshot.age_us + snapshot.costs[tier].p95_us + backlog_us


def limit_us(snapshot: PolicySnapshot) -> int:
    """Returns the share of the budget that may be planned for.

    The user's draw moves it by up to 5 % either way: near the limit the same users get
    the better tier every time, in place of every user now and then. It never moves it
    past the highest f.
    """
    tilt_ppm = (MILLION - 2 * snapshot.user_draw) * _TIE_HALF_WIDTH_PPM // MILLION
    share_ppm = snapshot.fit_ppm * (MILLION + tilt_ppm) // MILLION
    return snapshot.budget_us * min(share_ppm, HIGHEST_FIT_PPM) // MILLION


def can_make_popular(snapshot: PolicySnapshot) -> bool:
    """LADDER's rule 1: whether even POPULAR would be answered before the deadline.

    `snapshot.num_waiting` counts the requests ahead of this one.
    """
    return planned_us(snapshot, Tier.POPULAR) <= snapshot.deadline_us
