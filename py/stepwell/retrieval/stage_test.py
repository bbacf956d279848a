"""The stage: what fails is empty, counted and named; the rest goes on."""

from dataclasses import replace

import numpy as np
import pytest

from stepwell.base.deadline import Deadline
from stepwell.base.errors import CancelledError, UnavailableError
from stepwell.base.metric_names import SOURCE_FAILURES
from stepwell.base.metrics import Metrics
from stepwell.pipeline.candidate import SourceResult
from stepwell.pipeline.plan import ExecutionPlan, StageBudgets
from stepwell.pipeline.query import Query, UserContext
from stepwell.pipeline.stages import Retrieved, SourceRequest
from stepwell.retrieval.conftest import World
from stepwell.retrieval.stage import RetrievalStage

LIMITS = {
    "history": 20,
    "co_occurrence": 30,
    "ann": 60,
    "trending": 3,
    "popular": 20,
    "new_items": 3,
}


class _Source:
    """Emits rows 0..4 after `takes_us`, or raises."""

    def __init__(
        self, name: str, world: World, takes_us: int = 0, error: Exception | None = None
    ) -> None:
        self.name = name
        self._world, self._takes_us, self._error = world, takes_us, error
        self.asked: list[SourceRequest] = []
        self.coverage = 1.0

    def retrieve(
        self, query: Query, user: UserContext, request: SourceRequest
    ) -> SourceResult:
        request.deadline.check(self.name)
        self.asked.append(request)
        self._world.clock.advance_us(self._takes_us)
        if self._error:
            raise self._error
        scores = np.linspace(1, 0.5, 5, dtype=np.float32)
        return SourceResult(np.arange(5), scores, self.coverage)


def _plan(
    limits: dict[str, int] | None = None, num_candidates: int = 70
) -> ExecutionPlan:
    chosen = LIMITS if limits is None else limits
    return ExecutionPlan(
        "full", chosen, num_candidates, 64, 0.0, StageBudgets(0, 0, 0, 0, 0)
    )


def _run(
    world: World, stage: RetrievalStage, plan: ExecutionPlan, budget_us: int = 10_000
) -> Retrieved:
    deadline = Deadline.after_us(world.clock, budget_us)
    return stage.run(world.query(), world.user((3, 8)), plan, deadline)


def test_all_sources_reach_the_merged_candidates(world: World) -> None:
    retrieved = _run(world, world.artifacts.stage(), _plan())
    assert retrieved.failures == {}
    assert len(retrieved.candidates) == 70
    assert (retrieved.candidates.source_ranks >= 0).any(axis=0).all()


def test_a_failing_source_is_empty_counted_and_named(world: World) -> None:
    metrics = Metrics()
    broken = _Source("ann", world, error=UnavailableError("shard 3 is gone"))
    stage = RetrievalStage([_Source("history", world), broken], metrics)
    retrieved = _run(world, stage, _plan())
    assert retrieved.failures == {"ann": "UNAVAILABLE: shard 3 is gone"}
    assert len(retrieved.candidates) == 5
    assert metrics.value(SOURCE_FAILURES, "ann", "UNAVAILABLE") == 1


def test_a_source_that_answered_in_part_is_named_with_its_share(world: World) -> None:
    whole, part = _Source("history", world), _Source("ann", world)
    part.coverage = 0.75
    retrieved = _run(world, RetrievalStage([whole, part]), _plan())
    assert retrieved.partial == {"ann": 0.75}
    assert retrieved.failures == {}
    assert len(retrieved.candidates) == 5


def test_a_bug_in_a_source_does_not_take_the_request_with_it(world: World) -> None:
    metrics = Metrics()
    stage = RetrievalStage([_Source("ann", world, error=KeyError("x"))], metrics)
    retrieved = _run(world, stage, _plan())
    assert retrieved.failures["ann"].startswith("INTERNAL")
    assert len(retrieved.candidates) == 0
    assert metrics.value(SOURCE_FAILURES, "ann", "INTERNAL") == 1


def test_a_late_list_is_used_and_counted(world: World) -> None:
    metrics = Metrics()
    stage = RetrievalStage([_Source("ann", world, takes_us=9_000)], metrics)
    retrieved = _run(world, stage, _plan())
    assert len(retrieved.candidates) == 5
    assert retrieved.failures == {}
    assert metrics.value(SOURCE_FAILURES, "ann", "DEADLINE_EXCEEDED") == 1


def test_sources_after_the_end_are_not_started_and_named(world: World) -> None:
    slow, next_one = _Source("history", world, takes_us=10_001), _Source("ann", world)
    retrieved = _run(world, RetrievalStage([slow, next_one]), _plan())
    assert next_one.asked == []
    assert retrieved.failures["ann"].startswith("DEADLINE_EXCEEDED")
    assert len(retrieved.candidates) == 5


def test_a_cancelled_query_asks_no_further_source(world: World) -> None:
    first, next_one = _Source("history", world), _Source("ann", world)
    query = replace(world.query(), is_cancelled=lambda: bool(first.asked))
    deadline = Deadline.after_us(world.clock, 10_000)
    stage = RetrievalStage([first, next_one])
    with pytest.raises(CancelledError):
        stage.run(query, world.user((3, 8)), _plan(), deadline)
    assert len(first.asked) == 1
    assert next_one.asked == []


def test_one_source_has_only_a_share_of_the_time(world: World) -> None:
    source = _Source("ann", world)
    _run(world, RetrievalStage([source]), _plan(), budget_us=10_000)
    assert source.asked[0].deadline.at_us == 6_000


def test_a_source_the_plan_does_not_name_is_not_asked(world: World) -> None:
    source = _Source("ann", world)
    retrieved = _run(world, RetrievalStage([source]), _plan({"history": 5}))
    assert source.asked == []
    assert retrieved.failures == {}


def test_excluded_rows_are_replaced_by_the_next_best(world: World) -> None:
    stage, limits = world.artifacts.stage(), {"popular": 5}
    excluded = (0, 1, 2)
    deadline = Deadline.after_us(world.clock, 10_000)
    retrieved = stage.run(
        world.query(excluded), world.user(()), _plan(limits, 5), deadline
    )
    assert retrieved.candidates.rows.tolist() == [3, 4, 5, 6, 7]


def test_two_sources_of_one_name_are_refused(world: World) -> None:
    with pytest.raises(ValueError, match="distinct"):
        RetrievalStage([_Source("ann", world), _Source("ann", world)])
