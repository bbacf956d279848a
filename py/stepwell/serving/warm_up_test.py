"""Warm-up: every tier runs, nothing is remembered, a broken release is found."""

from pathlib import Path

import pytest

from stepwell.base.metrics import Metrics
from stepwell.serving.tiny_ranker_fixture import (
    WATERMARK,
    Faults,
    SkippingClock,
    build_engine,
)
from stepwell.serving.warm_up import warm_up
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore


def test_answers_made_up_users_and_remembers_none(tmp_path: Path) -> None:
    faults = Faults(SkippingClock())
    store = LmdbKeyValueStore(tmp_path)
    engine = build_engine(store, faults, Metrics(), "v000001")
    warm_up(engine, WATERMARK)
    assert faults.entered.is_set()
    assert len(engine.slates) == 0
    store.close()


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
