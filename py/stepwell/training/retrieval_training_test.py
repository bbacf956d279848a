"""Retrieval's whole training on a small set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.pipeline.plan import ExecutionPlan, StageBudgets
from stepwell.pipeline.query import Query, UserContext
from stepwell.retrieval.artifacts import RETRIEVAL_FILES, RetrievalArtifacts
from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.schema.vocabulary import VOCABULARY_FILE, Vocabulary
from stepwell.training.co_occurrence import CoOccurrenceOptions
from stepwell.training.event_table import EventTable
from stepwell.training.item_columns_export import (
    ITEM_COLUMNS_FILE,
    ITEM_NAMES_FILE,
    item_columns,
)
from stepwell.training.retrieval_training import (
    AS_OF,
    QUICK,
    save_retrieval,
    train_on_snapshot,
    train_retrieval,
)
from stepwell.training.split import Snapshot

CONFIG = replace(QUICK, co_occurrence=CoOccurrenceOptions(regularisation=20.0, rank=16))
LIMITS = {"history": 50, "co_occurrence": 80, "ann": 50, "trending": 10, "popular": 50}
BUDGETS = StageBudgets(0, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def trained(
    known: Snapshot, tmp_path_factory: pytest.TempPathFactory
) -> RetrievalArtifacts:
    return train_on_snapshot(known, CONFIG, tmp_path_factory.mktemp("work"))


def _recall(
    known: Snapshot, trained: RetrievalArtifacts, limits: dict[str, int], k: int
) -> float:
    stage = trained.stage()
    plan = ExecutionPlan("full", limits, k, 128, 0.0, BUDGETS)
    clock = FakeClock(known.cut_time)
    targets = known.targets(known.cut_time + 28 * DAY_SECONDS)
    recalls = []
    for user, history in enumerate(known.user_histories()):
        wanted = targets.items_of(user)
        if not len(wanted):
            continue
        rows = known.items.rows_of_keys(history.keys)
        deadline = Deadline.after_us(clock, 1_000_000)
        query = Query("r", str(user), 10, known.cut_time, deadline)
        context = UserContext(str(user), history, rows)
        found = stage.run(query, context, plan, deadline)
        assert found.failures == {}
        recalls.append(np.isin(wanted, found.candidates.rows).mean())
    return float(np.mean(recalls))


def test_merged_sources_keep_the_best_source_and_beat_popularity_by_far(
    known: Snapshot, trained: RetrievalArtifacts
) -> None:
    merged = _recall(known, trained, LIMITS, 40)
    alone = {
        name: _recall(known, trained, {name: 40}, 40)
        for name in ("history", "co_occurrence", "ann", "popular")
    }
    assert merged > alone["history"]
    assert merged > 0.8 * max(alone.values())
    assert merged > 2.0 * alone["popular"]
    assert alone["ann"] > alone["popular"], "the tower has to know the user"


def test_a_release_part_is_written_whole(
    known: Snapshot, trained: RetrievalArtifacts, tmp_path: Path
) -> None:
    save_retrieval(known, trained, tmp_path)
    want = {*RETRIEVAL_FILES, VOCABULARY_FILE, ITEM_COLUMNS_FILE, ITEM_NAMES_FILE}
    assert {path.name for path in tmp_path.iterdir()} == want
    items = Vocabulary.load(tmp_path / VOCABULARY_FILE)
    assert items.keys.tolist() == known.items.keys.tolist()
    names = load_file(tmp_path / ITEM_NAMES_FILE)
    start, end = names["offsets"][:2]
    assert names["bytes"].tobytes()[start:end].decode().startswith("Thing ")
    assert RetrievalArtifacts.load(tmp_path).space_hash == trained.space_hash


def test_an_as_of_snapshot_needs_no_training_of_the_tower(
    events: EventTable, known: Snapshot, tmp_path: Path
) -> None:
    cut = known.cut_time - 28 * DAY_SECONDS
    config = replace(AS_OF, co_occurrence=CONFIG.co_occurrence)
    parts: list[str] = []
    earlier = train_retrieval(
        events, cut, config, tmp_path, lambda part, done: parts.append(part)
    )
    assert "two-tower" not in parts
    assert {"co-occurrence", "index"} <= set(parts)
    assert earlier.user_tower.dim == 16 + 16 + 1


def test_item_columns_are_those_of_the_cut(known: Snapshot) -> None:
    columns = item_columns(known)
    row = 4
    mine = known.item_rows == row
    assert columns["number/num_events"][row] == mine.sum()
    users = np.unique(known.user_rows[mine])
    assert columns["number/num_buyers"][row] == len(users)
    month = known.times >= known.cut_time - 28 * DAY_SECONDS
    recent = np.unique(known.user_rows[mine & month])
    assert columns["number/buyers_28d"][row] == len(recent)
    assert columns["time/last_seen"][row] == known.times[mine].max()
    assert columns["time/last_seen"].max() < known.cut_time
    assert columns["category/category"].dtype == np.int32
    assert columns["category/category"].min() >= 1
    pairs = known.pairs
    again = (pairs.item_rows == row) & (pairs.counts > 1)
    share = again.sum() / (pairs.item_rows == row).sum()
    assert columns["number/repeat_share"][row] == pytest.approx(share)
