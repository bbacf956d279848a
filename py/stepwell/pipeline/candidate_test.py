"""Candidates in columns."""

import numpy as np
import pytest

from stepwell.pipeline.candidate import CandidateSet, RankedSet
from stepwell.pipeline.plan import ExecutionPlan, StageBudgets


def test_given_rows_have_no_source() -> None:
    candidates = CandidateSet.of_rows(np.array([4, 2], np.int64))
    assert len(candidates) == 2
    assert (candidates.source_ranks == -1).all()
    assert (candidates.source_scores == 0).all()


def test_taking_positions_reorders_every_column() -> None:
    candidates = CandidateSet.of_rows(np.array([4, 2, 9], np.int64))
    scores = np.array([0.1, 0.2, 0.3], np.float32)
    ranked = RankedSet(candidates, scores, scores[:, None])
    taken = ranked.taken(np.array([2, 0]))
    assert taken.candidates.rows.tolist() == [9, 4]
    assert taken.scores.tolist() == pytest.approx([0.3, 0.1])
    assert taken.objectives.shape == (2, 1)


def test_whatever_is_taken_of_a_ranking_remembers_its_place_among_the_scored() -> None:
    rows = np.array([4, 2, 9, 7], np.int64)
    scores = np.zeros(4, np.float32)
    ranked = RankedSet(CandidateSet.of_rows(rows), scores, scores[:, None])
    taken = ranked.taken(np.array([3, 0, 1])).taken(np.array([2, 0]))
    assert taken.places is not None
    assert taken.places.tolist() == [1, 3]
    assert rows[taken.places].tolist() == taken.candidates.rows.tolist()


def test_a_plan_cannot_be_changed_once_made() -> None:
    limits = {"ann": 5}
    plan = ExecutionPlan("full", limits, 5, 64, 0.0, StageBudgets(1, 1, 1, 1, 1))
    limits["ann"] = 6
    assert plan.source_limits["ann"] == 5
    with pytest.raises(TypeError):
        plan.source_limits["ann"] = 7  # type: ignore[index]
