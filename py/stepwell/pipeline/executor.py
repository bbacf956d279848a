"""Runs one request through the stages, and steps down when a stage is late."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from stepwell.base.deadline import Deadline
from stepwell.base.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    UnavailableError,
)
from stepwell.degradation.reasons import DEADLINE_REASONS, Reason
from stepwell.degradation.tier import Tier
from stepwell.ops.best_first import order_best_first
from stepwell.pipeline.candidate import INDEX_SOURCE, CandidateSet, RankedSet
from stepwell.pipeline.plan import ExecutionPlan, StageBudgets
from stepwell.pipeline.planner import Planner
from stepwell.pipeline.query import Query, Scores, UserContext
from stepwell.pipeline.slate import Computed, PopularSlates, Slate
from stepwell.pipeline.stages import (
    CandidateHydrator,
    QueryHydrator,
    Reranker,
    Retrieved,
    Retriever,
    Scorer,
)

STAGE_NAMES = ("hydrate", "retrieval", "features", "ranking", "reranking")
"""The stages in the order in which they run; "popular" stands alone."""

_UNAVAILABLE_REASONS = {
    "hydrate": Reason.BREAKER_STORE,
    "retrieval": Reason.BREAKER_INDEX,
    "features": Reason.BREAKER_STORE,
    "ranking": Reason.BREAKER_EMBEDDINGS,
    "reranking": Reason.BREAKER_STORE,
}
"""The dependency that a stage misses when it raises UnavailableError."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of one release. Concurrency: as pipeline.stages says."""

    query_hydrator: QueryHydrator
    retriever: Retriever
    candidate_hydrator: CandidateHydrator
    scorers: Mapping[str, Scorer]
    reranker: Reranker
    popular: PopularSlates


class Executor:
    """Runs the stages of a plan, one after the other, on the caller's thread.

    After each stage the time left is held against what the rest of the plan needs. A
    late request goes on with the next lower plan that still fits and what it has so
    far; when none fits it is answered from memory. Every such step is a reason in the
    slate.

    A query that nobody waits for any more stops before its next stage.

    Concurrency: immutable, as safe as its stages.
    """

    def __init__(self, stages: Stages, planner: Planner) -> None:
        self._stages = stages
        self._planner = planner

    def with_query_hydrator(self, hydrator: QueryHydrator) -> "Executor":
        """Returns the same pipeline over users that another hydrator knows."""
        stages = replace(self._stages, query_hydrator=hydrator)
        return Executor(stages, self._planner)

    def run(self, query: Query, tier: Tier) -> Slate:
        """Returns the slate of `query` at `tier` or a lower one.

        Raises:
            CancelledError: nobody waits for the answer any more.
            StepwellError: a stage failed for another reason than time or a dependency.
        """
        budget_us = query.deadline.remaining_us()
        plans = self._planner.plans_from(tier, budget_us, query.overrides)
        run = _Run(query, plans)
        if not run.plans:
            return self._popular(run)
        try:
            return self._staged(run)
        except _SteppedOffError:
            return self._popular(run)

    @property
    def stages(self) -> Stages:
        """The stages it runs."""
        return self._stages

    def repeated(
        self,
        query: Query,
        user: UserContext,
        candidates: CandidateSet,
        scored: Tier,
        reranked: Tier,
    ) -> Slate:
        """Returns the slate that was made of these candidates, made again.

        Nothing is looked up and no time is kept: what the stages compute hangs on the
        arguments alone.

        Args:
            query: as it was, with a deadline that does not matter.
            user: as it was known then.
            candidates: that were scored, in their order.
            scored, reranked: the tiers whose scorer and whose re-ranking made the
                slate; both run stages.
        """
        scorer = self._plan(scored, query).scorer
        features = self._stages.candidate_hydrator.hydrate(query, user, candidates)
        scores = self._stages.scorers[scorer].score(features, query.deadline)
        ranked = self._stages.reranker.rerank(
            query, user, _best_first(candidates, scores), self._plan(reranked, query)
        )
        computed = Computed(scored, scored, candidates, features)
        return Slate(ranked, reranked, (), scores.names, user=user, computed=computed)

    def _plan(self, tier: Tier, query: Query) -> ExecutionPlan:
        left_us = query.deadline.remaining_us()
        plan = self._planner.plan(tier, left_us, query.overrides)
        if plan is None:
            raise InvalidArgumentError(f"{tier.label} runs no stages", "tier")
        return plan

    def _staged(self, run: "_Run") -> Slate:
        query, stages = run.query, self._stages
        best = run.plan
        user = run.stage("hydrate", lambda at: stages.query_hydrator.hydrate(query, at))
        run.note_user(user)
        if user.drops_tier and run.plan is best:  # a late read has dropped it already
            run.drop_plan()
        asked_tier, asked = run.plans[0]  # a late stage leaves a lower one behind
        retrieved = run.stage("retrieval", lambda at: self._retrieved(run, user, at))
        run.note_retrieved(asked, retrieved)
        if retrieved.failures and not len(retrieved.candidates):
            # A slate made of nothing but filling is the popular list: say so.
            raise _SteppedOffError
        candidates = run.kept(retrieved.candidates)
        features = run.stage(
            "features",
            lambda _: stages.candidate_hydrator.hydrate(query, user, candidates),
        )
        kept = run.kept(candidates)
        if len(kept) < len(candidates):
            features = features.head(len(kept))
        computed = Computed(asked_tier, run.plans[0][0], kept, features)
        scores = run.stage(
            "ranking", lambda at: stages.scorers[run.plan.scorer].score(features, at)
        )
        ranked = _best_first(kept, scores)
        slate = run.stage(
            "reranking",
            lambda _: stages.reranker.rerank(query, user, ranked, run.plan),
        )
        return run.slate(slate, scores.names, computed)

    def _retrieved(self, run: "_Run", user: UserContext, at: Deadline) -> Retrieved:
        given = run.query.given_rows
        if given is None:
            return self._stages.retriever.run(run.query, user, run.plan, at)
        allowed = given[~np.isin(given, run.query.excluded_rows)]
        return Retrieved(CandidateSet.of_rows(allowed), {})

    def _popular(self, run: "_Run") -> Slate:
        popular = run.timed("popular", lambda: self._stages.popular.slate(run.query))
        return Slate(
            ranked=popular.ranked,
            tier=Tier.POPULAR,
            reasons=tuple(run.reasons),
            coverage=run.coverage,
            stage_us=run.stage_us,
            user=run.user,
            source_failures=run.failures,
            cached_age_us=popular.cached_age_us,
        )


class _SteppedOffError(Exception):
    """No plan with stages fits any more, or there is nothing to rank."""


@dataclass(slots=True)
class _Run:
    """One request on its way: the plans that are left, and what happened so far."""

    query: Query
    plans: list[tuple[Tier, ExecutionPlan]]
    reasons: list[Reason] = field(default_factory=list)
    stage_us: dict[str, int] = field(default_factory=dict)
    coverage: float = 1.0
    user: UserContext | None = None
    failures: dict[str, str] = field(default_factory=dict)
    searched_index: bool = False

    @property
    def plan(self) -> ExecutionPlan:
        return self.plans[0][1]

    def stage(self, name: str, work: Callable[[Deadline], T]) -> T:
        """Runs one stage, times it, and steps down when it leaves too little time."""
        self.query.check_wanted()
        rest_us = _rest_us(self.plan.budgets, name)
        at = Deadline(self.query.deadline.clock, self.query.deadline.at_us - rest_us)
        try:
            result = self.timed(name, lambda: work(at))
        except DeadlineExceededError:
            self._note(DEADLINE_REASONS[name])
            raise _SteppedOffError from None
        except UnavailableError:
            self._note(_UNAVAILABLE_REASONS[name])
            raise _SteppedOffError from None
        if at.expired():
            self._step_down(name)
        return result

    def timed(self, name: str, work: Callable[[], T]) -> T:
        clock = self.query.deadline.clock
        start_us = clock.monotonic_us()
        try:
            return work()
        finally:
            self.stage_us[name] = clock.monotonic_us() - start_us

    def kept(self, candidates: CandidateSet) -> CandidateSet:
        """The first candidates, as many as the plan has: fewer after a step down.

        A caller's own candidates are all kept.
        """
        wanted = self.plan.num_candidates
        if self.query.given_rows is not None or len(candidates) <= wanted:
            return candidates
        return candidates.taken(np.arange(wanted))

    def note_user(self, user: UserContext) -> None:
        self.user = user
        if user.is_cold:
            self._note(Reason.MISSING_USER)
        if user.stale:
            self._note(Reason.STALE_FEATURES)

    def drop_plan(self) -> None:
        """Goes on with the next lower plan."""
        self._go_on_with(self.plans[1:])

    def note_retrieved(self, asked: ExecutionPlan, retrieved: Retrieved) -> None:
        self.failures = retrieved.failures
        retrieves = self.query.given_rows is None
        answered = asked.source_limits.keys() - retrieved.failures.keys()
        self.searched_index = retrieves and INDEX_SOURCE in answered
        missing = len(retrieved.failures) + sum(
            1.0 - share for share in retrieved.partial.values()
        )
        if missing:
            num_asked = max(len(asked.source_limits), len(retrieved.failures))
            self.coverage = 1.0 - missing / num_asked
            self._note(Reason.SHARD_COVERAGE)

    def slate(
        self, ranked: RankedSet, objective_names: tuple[str, ...], computed: Computed
    ) -> Slate:
        return Slate(
            ranked=ranked,
            tier=self.plans[0][0],
            reasons=tuple(self.reasons),
            objective_names=objective_names,
            coverage=self.coverage,
            stage_us=self.stage_us,
            user=self.user,
            source_failures=self.failures,
            searched_index=self.searched_index,
            computed=computed,
        )

    def _step_down(self, name: str) -> None:
        """Drops the plans whose rest does not fit into the time that is left.

        Once everything is scored the work is done: the slate is answered, late or not,
        with the cheapest re-ranking there is.
        """
        late = DEADLINE_REASONS[name]
        if name == "reranking":
            # What an earlier stage overspent is not re-ranking's fault.
            if not set(self.reasons) & set(DEADLINE_REASONS.values()):
                self._note(late)
            return
        self._note(late)
        remaining_us = self.query.deadline.remaining_us()
        lower = self.plans[1:]
        fitting = [p for p in lower if _rest_us(p[1].budgets, name) <= remaining_us]
        if name == "ranking":
            fitting = fitting or lower[-1:] or self.plans
        self._go_on_with(fitting)

    def _go_on_with(self, plans: list[tuple[Tier, ExecutionPlan]]) -> None:
        if not plans:
            raise _SteppedOffError
        self.plans = plans

    def _note(self, reason: Reason) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


_LATER = {
    name: tuple(f"{later}_us" for later in STAGE_NAMES[place + 1 :])
    for place, name in enumerate(STAGE_NAMES)
}


def _rest_us(budgets: StageBudgets, name: str) -> int:
    """Returns what the stages after `name` need, microseconds."""
    return sum([getattr(budgets, later) for later in _LATER[name]])


def _best_first(candidates: CandidateSet, scores: Scores) -> RankedSet:
    """Orders by score, ties by lower row; non-finite scores have sunk to -inf."""
    order = order_best_first(scores.total, candidates.rows, len(candidates))
    return RankedSet(candidates, scores.total, scores.objectives).taken(order)
