"""The executor on stages that take as long as they are told, on a fake clock."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import (
    CancelledError,
    DeadlineExceededError,
    InvalidArgumentError,
    UnavailableError,
)
from stepwell.degradation.reasons import DEADLINE_REASONS, Reason
from stepwell.degradation.tier import Tier
from stepwell.pipeline.candidate import SOURCE_NAMES, CandidateSet, RankedSet
from stepwell.pipeline.executor import STAGE_NAMES, Executor, Stages
from stepwell.pipeline.plan import ExecutionPlan
from stepwell.pipeline.planner import Planner
from stepwell.pipeline.query import FeatureBatch, Query, Scores, UserContext
from stepwell.pipeline.slate import PopularSlate, Slate
from stepwell.pipeline.stages import Retrieved

BUDGET_US = 50_000
NUM_FOUND = 500


@dataclass
class TimedStages:
    """Every stage in one object: advances the clock, notes what it was asked."""

    clock: FakeClock
    takes_us: dict[str, int] = field(default_factory=dict)
    raises: dict[str, Exception] = field(default_factory=dict)
    user: UserContext = field(
        default_factory=lambda: replace(UserContext.unknown("u"), is_cold=False)
    )
    failures: dict[str, str] = field(default_factory=dict)
    partial: dict[str, float] = field(default_factory=dict)
    num_found: int = NUM_FOUND
    num_scored: dict[str, int] = field(default_factory=dict)
    rerank_plan: ExecutionPlan | None = None
    ranking_deadline_us: int = 0
    spent: list[str] = field(default_factory=list)

    def spend(self, stage: str) -> None:
        self.spent.append(stage)
        self.clock.advance_us(self.takes_us.get(stage, 100))
        if stage in self.raises:
            raise self.raises[stage]


def _stages(timed: TimedStages) -> Stages:
    return Stages(
        query_hydrator=_Hydrate(timed),
        retriever=_Retrieve(timed),
        candidate_hydrator=_Features(timed),
        scorers={"full": _Score(timed, "full"), "reduced": _Score(timed, "reduced")},
        reranker=_Rerank(timed),
        popular=_Popular(timed),
    )


@dataclass
class _Hydrate:
    timed: TimedStages

    def hydrate(self, query: Query, deadline: Deadline) -> UserContext:
        self.timed.spend("hydrate")
        return self.timed.user


@dataclass
class _Retrieve:
    timed: TimedStages

    def run(
        self, query: Query, user: UserContext, plan: ExecutionPlan, deadline: Deadline
    ) -> Retrieved:
        self.timed.spend("retrieval")
        wanted = min(self.timed.num_found, plan.num_candidates)
        found = CandidateSet.of_rows(np.arange(wanted))
        ranks = np.zeros_like(found.source_ranks)
        found = replace(found, source_ranks=ranks)
        return Retrieved(found, self.timed.failures, self.timed.partial)


@dataclass
class _Features:
    timed: TimedStages

    def hydrate(
        self, query: Query, user: UserContext, candidates: CandidateSet
    ) -> FeatureBatch:
        self.timed.spend("features")
        dense = candidates.rows[:, None].astype(np.float32)
        return FeatureBatch(dense, np.zeros((len(candidates), 0), np.int64))


@dataclass
class _Score:
    timed: TimedStages
    name: str

    def score(self, features: FeatureBatch, deadline: Deadline | None = None) -> Scores:
        assert deadline is not None
        self.timed.ranking_deadline_us = deadline.at_us
        self.timed.spend("ranking")
        total = features.dense[:, 0] % 7
        self.timed.num_scored[self.name] = len(total)
        return Scores(total, total[:, None], ("bought",))


@dataclass
class _Rerank:
    timed: TimedStages

    def rerank(
        self, query: Query, user: UserContext, ranked: RankedSet, plan: ExecutionPlan
    ) -> RankedSet:
        self.timed.spend("reranking")
        self.timed.rerank_plan = plan
        return ranked.taken(np.arange(min(len(ranked), query.num_items)))


@dataclass
class _Popular:
    timed: TimedStages

    def slate(self, query: Query) -> PopularSlate:
        self.timed.spend("popular")
        rows = np.array([9, 8])
        scores = np.zeros((2, 1), np.float32)
        ranked = RankedSet(CandidateSet.of_rows(rows), scores[:, 0], scores)
        return PopularSlate(ranked, cached_age_us=77)


def _run(timed: TimedStages, tier: Tier = Tier.FULL, **changes: object) -> Slate:
    deadline = Deadline.after_us(timed.clock, BUDGET_US)
    query = Query("r", "u", 10, 1_500_000_000, deadline)
    query = replace(query, **changes)  # type: ignore[arg-type]
    return Executor(_stages(timed), Planner()).run(query, tier)


def test_a_healthy_request_gets_its_tier_without_a_reason() -> None:
    timed = TimedStages(FakeClock())
    slate = _run(timed)
    assert (slate.tier, slate.reasons, slate.coverage) == (Tier.FULL, (), 1.0)
    assert slate.stage_us == dict.fromkeys(STAGE_NAMES, 100)
    assert timed.num_scored == {"full": 500}
    assert slate.objective_names == ("bought",)


def test_orders_by_score_with_ties_by_lower_row() -> None:
    ranked = _run(TimedStages(FakeClock())).ranked
    assert ranked.candidates.rows.tolist() == [6, 13, 20, 27, 34, 41, 48, 55, 62, 69]
    assert ranked.scores.tolist() == [6.0] * 10


def test_reduced_uses_the_small_scorer_on_fewer_candidates() -> None:
    timed = TimedStages(FakeClock())
    slate = _run(timed, Tier.REDUCED)
    assert (slate.tier, slate.reasons) == (Tier.REDUCED, ())
    assert timed.num_scored == {"reduced": 150}


def test_popular_runs_no_stage() -> None:
    timed = TimedStages(
        FakeClock(), raises={name: ValueError() for name in STAGE_NAMES}
    )
    slate = _run(timed, Tier.POPULAR)
    assert (slate.tier, slate.reasons) == (Tier.POPULAR, ())
    assert slate.stage_us == {"popular": 100}
    assert slate.cached_age_us == 77


LATE_CASES = [
    # stage, microseconds, tier that answers, scorer that ran on how many
    ("hydrate", 11_751, Tier.REDUCED, {"reduced": 150}),
    ("hydrate", 32_001, Tier.POPULAR, {}),
    ("retrieval", 26_526, Tier.REDUCED, {"reduced": 150}),
    ("retrieval", 38_901, Tier.POPULAR, {}),
    ("features", 34_926, Tier.REDUCED, {"reduced": 150}),
    ("features", 49_000, Tier.POPULAR, {}),
    ("ranking", 45_451, Tier.REDUCED, {"full": 500}),
    ("ranking", 90_000, Tier.REDUCED, {"full": 500}),
    ("reranking", 49_601, Tier.FULL, {"full": 500}),
]


@pytest.mark.parametrize(("stage", "takes_us", "tier", "num_scored"), LATE_CASES)
def test_a_late_stage_steps_down_with_what_it_has(
    stage: str, takes_us: int, tier: Tier, num_scored: dict[str, int]
) -> None:
    timed = TimedStages(FakeClock(), takes_us={stage: takes_us})
    slate = _run(timed)
    assert (slate.tier, slate.reasons) == (tier, (DEADLINE_REASONS[stage],))
    assert timed.num_scored == num_scored
    assert slate.stage_us[stage] == takes_us


def test_a_request_late_after_ranking_is_re_ranked_the_cheap_way() -> None:
    timed = TimedStages(FakeClock(), takes_us={"ranking": 45_500})
    _run(timed)
    assert timed.rerank_plan is not None
    assert timed.rerank_plan.diversity_lambda == 0.0


@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_a_stage_that_gives_up_on_its_deadline_leaves_a_popular_answer(
    stage: str,
) -> None:
    raises: dict[str, Exception] = {stage: DeadlineExceededError("late")}
    slate = _run(TimedStages(FakeClock(), raises=raises))
    assert (slate.tier, slate.reasons) == (Tier.POPULAR, (DEADLINE_REASONS[stage],))
    assert slate.cached_age_us == 77


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("hydrate", Reason.BREAKER_STORE),
        ("retrieval", Reason.BREAKER_INDEX),
        ("ranking", Reason.BREAKER_EMBEDDINGS),
    ],
)
def test_a_dependency_that_is_down_leaves_a_popular_answer(
    stage: str, reason: Reason
) -> None:
    raises: dict[str, Exception] = {stage: UnavailableError("down")}
    slate = _run(TimedStages(FakeClock(), raises=raises))
    assert (slate.tier, slate.reasons) == (Tier.POPULAR, (reason,))


def test_a_bug_in_a_stage_is_an_error_and_not_a_degraded_answer() -> None:
    raises: dict[str, Exception] = {"ranking": InvalidArgumentError("a bug")}
    with pytest.raises(InvalidArgumentError, match="a bug"):
        _run(TimedStages(FakeClock(), raises=raises))


def test_says_when_nothing_is_known_of_the_user_and_when_views_are_stale() -> None:
    user = replace(UserContext.unknown("u"), stale=("user_history",))
    slate = _run(TimedStages(FakeClock(), user=user))
    assert slate.tier is Tier.FULL
    assert slate.reasons == (Reason.MISSING_USER, Reason.STALE_FEATURES)


@pytest.mark.parametrize(
    ("asked", "answered", "takes_us"),
    [
        (Tier.FULL, Tier.REDUCED, {}),
        (Tier.REDUCED, Tier.POPULAR, {}),
        # A late read has cost a tier already; two would be one too many.
        (Tier.FULL, Tier.REDUCED, {"hydrate": 24_000}),
    ],
)
def test_goes_one_tier_down_for_a_stale_view_that_drops_it(
    asked: Tier, answered: Tier, takes_us: dict[str, int]
) -> None:
    user = replace(UserContext.unknown("u"), is_cold=False, stale=("prices",))
    timed = TimedStages(FakeClock(), takes_us, user=replace(user, drops_tier=True))
    slate = _run(timed, asked)
    assert slate.tier is answered
    assert Reason.STALE_FEATURES in slate.reasons
    assert "full" not in timed.num_scored


def test_failed_sources_lower_the_coverage_and_are_named() -> None:
    timed = TimedStages(FakeClock(), failures={"ann": "timeout"})
    slate = _run(timed)
    assert slate.reasons == (Reason.SHARD_COVERAGE,)
    assert slate.coverage == pytest.approx(5 / 6)
    assert slate.source_failures == {"ann": "timeout"}


def test_a_source_that_answered_in_part_counts_in_part() -> None:
    slate = _run(TimedStages(FakeClock(), partial={"ann": 0.75}))
    assert (slate.tier, slate.reasons) == (Tier.FULL, (Reason.SHARD_COVERAGE,))
    assert slate.coverage == pytest.approx(1 - 0.25 / 6)
    assert slate.searched_index


def test_without_candidates_from_any_source_it_is_the_popular_list_and_says_so() -> (
    None
):
    every = dict.fromkeys(SOURCE_NAMES, "gone")
    timed = TimedStages(FakeClock(), failures=every, num_found=0)
    slate = _run(timed)
    assert (slate.tier, slate.coverage) == (Tier.POPULAR, 0.0)
    assert slate.reasons == (Reason.SHARD_COVERAGE,)
    assert slate.source_failures == every
    assert not timed.num_scored


def test_given_candidates_skip_retrieval_and_lose_the_excluded() -> None:
    given = np.arange(600)
    timed = TimedStages(FakeClock())
    excluded = np.array([6, 13])
    slate = _run(timed, given_rows=given, excluded_rows=excluded)
    assert timed.num_scored == {"full": 598}
    assert not np.isin(excluded, slate.ranked.candidates.rows).any()
    assert slate.coverage == 1.0


def test_coverage_is_of_the_sources_that_were_asked() -> None:
    # Late: what goes on is REDUCED with its three sources, asked were FULL's six.
    timed = TimedStages(FakeClock(), {"retrieval": 30_000}, failures={"ann": "gone"})
    slate = _run(timed)
    assert slate.tier is Tier.REDUCED
    assert slate.coverage == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("late", "retrieved", "scored", "num_candidates"),
    [
        ({}, Tier.FULL, Tier.FULL, 500),
        ({"hydrate": 24_000}, Tier.REDUCED, Tier.REDUCED, 150),
        ({"retrieval": 30_000}, Tier.FULL, Tier.REDUCED, 150),
        ({"features": 34_926}, Tier.FULL, Tier.REDUCED, 150),
        ({"ranking": 45_451}, Tier.FULL, Tier.FULL, 500),
    ],
)
def test_says_what_was_scored_and_by_which_tiers_plans(
    late: dict[str, int], retrieved: Tier, scored: Tier, num_candidates: int
) -> None:
    slate = _run(TimedStages(FakeClock(), late))
    computed = slate.computed
    assert computed is not None
    assert (computed.retrieved, computed.scored) == (retrieved, scored)
    assert len(computed.candidates) == len(computed.features.dense) == num_candidates
    # By its place each shown item is found among the scored.
    places = slate.ranked.places
    assert places is not None
    shown = slate.ranked.candidates.rows
    assert computed.candidates.rows[places].tolist() == shown.tolist()


def test_a_slate_from_memory_was_not_computed() -> None:
    assert _run(TimedStages(FakeClock()), Tier.POPULAR).computed is None


def test_says_whether_the_index_took_part() -> None:
    assert _run(TimedStages(FakeClock())).searched_index
    failing = TimedStages(FakeClock(), failures={"ann": "gone"})
    assert not _run(failing).searched_index
    assert not _run(TimedStages(FakeClock()), Tier.REDUCED).searched_index
    assert not _run(TimedStages(FakeClock()), Tier.POPULAR).searched_index
    given = np.arange(3)
    assert not _run(TimedStages(FakeClock()), given_rows=given).searched_index


@pytest.mark.parametrize("stage", STAGE_NAMES[:-1])
def test_a_cancelled_query_stops_before_its_next_stage(stage: str) -> None:
    timed = TimedStages(FakeClock())
    with pytest.raises(CancelledError, match="request r was cancelled"):
        _run(timed, is_cancelled=lambda: stage in timed.spent)
    assert timed.spent == list(STAGE_NAMES[: STAGE_NAMES.index(stage) + 1])


def test_a_query_cancelled_before_it_starts_does_nothing() -> None:
    timed = TimedStages(FakeClock())
    with pytest.raises(CancelledError):
        _run(timed, is_cancelled=lambda: True)
    assert timed.spent == []


def test_the_scorer_is_told_when_ranking_ends() -> None:
    timed = TimedStages(FakeClock())
    _run(timed)
    assert timed.ranking_deadline_us == BUDGET_US * 915 // 1_000
