"""A place for new items: what is logged of it is what happens."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import InvalidArgumentError
from stepwell.pipeline.candidate import CandidateSet, DrawnPlace, RankedSet
from stepwell.pipeline.plan import ExecutionPlan, StageBudgets
from stepwell.pipeline.query import Query, UserContext
from stepwell.reranking.exploration import ExplorationOptions
from stepwell.reranking.policy_filter import PolicyFilter
from stepwell.reranking.stage import RerankingOptions, RerankingStage

NUM_ITEMS, NUM_SHOWN = 40, 6
NOBODY = UserContext.unknown("u")
PLAN = ExecutionPlan("full", {}, 500, 100, 0.0, StageBudgets(1, 1, 1, 1, 1))
NEW = [30, 31, 32, 33, 2, 34, 35]
"""Item 2 is in every slate by its score, 31 is denied, 35 is scored and comes last."""
DRAWABLE = [30, 32, 33, 34, 35]
RANKED = [*range(NUM_SHOWN), 20, 35]


def _stage(
    share_ppm: int, position: int = 3, new: list[int] | None = None
) -> RerankingStage:
    allowed = np.ones(NUM_ITEMS, np.bool_)
    allowed[31] = False
    exploration = ExplorationOptions(share_ppm, position)
    return RerankingStage(
        PolicyFilter(allowed),
        options=RerankingOptions(exploration=exploration),
        new_rows=np.array(NEW if new is None else new, np.int32),
    )


def _ranked() -> RankedSet:
    scores = np.linspace(1, 0.5, len(RANKED), dtype=np.float32)
    candidates = CandidateSet.of_rows(np.array(RANKED, np.int64))
    return RankedSet(candidates, scores, scores[:, None].copy())


def _query(request_id: str = "r", num_items: int = NUM_SHOWN) -> Query:
    deadline = Deadline.after_us(FakeClock(), 10_000)
    return Query(request_id, "u", num_items, 1_500_000_000, deadline)


def _slates(stage: RerankingStage, num_requests: int) -> list[RankedSet]:
    queries = (_query(f"request {number}") for number in range(num_requests))
    return [stage.rerank(query, NOBODY, _ranked(), PLAN) for query in queries]


def test_what_is_logged_is_how_often_it_happens() -> None:
    num_requests, share = 20_000, 0.3
    stage = _stage(300_000)
    shown: Counter[int] = Counter()
    logged: dict[int, float] = {}
    for slate in _slates(stage, num_requests):
        assert slate.drawn is not None
        assert slate.drawn.place == 2
        row = int(slate.candidates.rows[2])
        shown[row] += 1
        assert logged.setdefault(row, slate.drawn.propensity) == slate.drawn.propensity
        assert slate.drawn.is_explored == (row != 2)
    assert sorted(shown) == sorted([2, *DRAWABLE])
    assert sum(logged.values()) == pytest.approx(1.0)
    for row, propensity in logged.items():
        error = np.sqrt(propensity * (1 - propensity) / num_requests)
        assert abs(shown[row] / num_requests - propensity) < 4 * error
        assert propensity == pytest.approx(0.7 if row == 2 else share / 5)


def test_the_other_places_are_as_they_are_without() -> None:
    plain = _stage(0).rerank(_query(), NOBODY, _ranked(), PLAN)
    assert plain.drawn is None
    for slate in _slates(_stage(1_000_000), 50):
        others = np.arange(NUM_SHOWN) != 2
        rows = slate.candidates.rows
        np.testing.assert_array_equal(rows[others], plain.candidates.rows[others])
        np.testing.assert_array_equal(slate.scores[others], plain.scores[others])
        assert len(set(rows.tolist())) == NUM_SHOWN


def test_a_drawn_item_that_was_scored_keeps_its_score_and_its_features() -> None:
    ranked = _ranked()
    slates = _slates(_stage(1_000_000), 100)
    by_row = {int(slate.candidates.rows[2]): slate for slate in slates}
    scored, found_by_none = by_row[35], by_row[30]
    assert scored.places is not None
    assert found_by_none.places is not None
    assert scored.places.tolist() == [0, 1, len(RANKED) - 1, 3, 4, 5]
    assert scored.scores[2] == ranked.scores[-1]
    assert found_by_none.places.tolist() == [0, 1, -1, 3, 4, 5]
    assert found_by_none.scores[2] == 0.0


def test_the_same_request_draws_the_same() -> None:
    stage = _stage(500_000)
    one, other = _slates(stage, 30), _slates(stage, 30)
    assert [s.drawn for s in one] == [s.drawn for s in other]
    assert len({s.drawn for s in one}) == 2


def test_nothing_is_drawn_where_there_is_nothing_or_no_place() -> None:
    all_certain = [
        (_stage(1_000_000, new=[31, 2]), _query()),
        (_stage(1_000_000, new=[]), _query()),
        (_stage(1_000_000, position=NUM_SHOWN + 1), _query()),
        (_stage(1_000_000), _query(num_items=2)),
        (_stage(1_000_000), replace(_query(), given_rows=np.array(RANKED))),
    ]
    for stage, query in all_certain:
        slate = stage.rerank(query, NOBODY, _ranked(), PLAN)
        assert slate.drawn is None
    last = _stage(1_000_000, position=NUM_SHOWN).rerank(
        _query(), NOBODY, _ranked(), PLAN
    )
    assert last.drawn == DrawnPlace(NUM_SHOWN - 1, 0.2, is_explored=True)


def test_what_the_user_must_not_see_is_not_drawn() -> None:
    query = replace(_query(), excluded_rows=np.array([30, 32, 33, 34]))
    slate = _stage(1_000_000).rerank(query, NOBODY, _ranked(), PLAN)
    assert slate.candidates.rows[2] == 35
    assert slate.drawn == DrawnPlace(2, 1.0, is_explored=True)


@pytest.mark.parametrize(
    ("share_ppm", "position", "name"),
    [(-1, 1, "slot_share_ppm"), (1_000_001, 1, "slot_share_ppm"), (0, 0, "position")],
)
def test_options_are_within_their_range(
    share_ppm: int, position: int, name: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        ExplorationOptions(share_ppm, position)
