"""Warm-up: every tier runs, nothing is remembered, a broken release is found."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stepwell.base.deadline import Deadline
from stepwell.base.metrics import Metrics
from stepwell.base.pace import Pace
from stepwell.degradation.tier import BEST_FIRST
from stepwell.pipeline.query import Query
from stepwell.serving.engine import Engine
from stepwell.serving.recent_queries import NUM_KEPT, RecentQueries, RecentQuery
from stepwell.serving.tiny_ranker_fixture import (
    WATERMARK,
    Faults,
    SkippingClock,
    build_engine,
)
from stepwell.serving.warm_up import replay, warm_up
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore


def test_answers_made_up_users_and_remembers_none(tmp_path: Path) -> None:
    faults = Faults(SkippingClock())
    store = LmdbKeyValueStore(tmp_path)
    engine = build_engine(store, faults, Metrics(), "v000001")
    warm_up(engine, WATERMARK)
    assert faults.entered.is_set()
    assert len(engine.slates) == 0
    store.close()


def test_repeats_what_callers_asked_at_every_tier_and_rests_between(
    tmp_path: Path,
) -> None:
    faults = Faults(SkippingClock())
    store = LmdbKeyValueStore(tmp_path)
    engine = build_engine(store, faults, Metrics(), "v000001")
    seen = RecentQueries()
    for number in range(NUM_KEPT + 5):
        seen.note(_query(engine, f"user-{number}"))
    seen.note(replace(_query(engine, "ranks"), given_rows=np.array([1])))
    asked = seen.newest()
    assert len(asked) == NUM_KEPT
    assert asked[0] == RecentQuery(f"user-{NUM_KEPT + 4}", 7, "home")
    used, rests = [0.0], list[float]()

    def busy() -> float:
        used[0] += 0.001
        return used[0]

    pace = Pace(0.5, rests.append, busy)
    pace.begin()
    replay(engine, asked[:3], WATERMARK, pace)
    assert len(rests) == 3 * len(BEST_FIRST)
    assert faults.entered.is_set() and len(engine.slates) == 0
    store.close()


def _query(engine: Engine, user_id: str) -> Query:
    deadline = Deadline.after_us(engine.clock, 1_000_000)
    return Query("id", user_id, 7, WATERMARK, deadline, surface="home")


@pytest.mark.parametrize("stage", ["features", "ranking_full", "ranking_reduced"])
def test_a_release_with_a_stage_that_fails_does_not_go_live(
    tmp_path: Path, stage: str
) -> None:
    faults = Faults(SkippingClock())
    faults.errors[stage] = ValueError("broken weights")
    store = LmdbKeyValueStore(tmp_path)
    engine = build_engine(store, faults, Metrics(), "v000001")
    with pytest.raises(ValueError, match="broken weights"):
        warm_up(engine, WATERMARK)
    store.close()
