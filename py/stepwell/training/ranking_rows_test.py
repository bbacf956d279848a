"""Training rows: true labels, sampled negatives, nothing of the future."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stepwell.features.candidate_features import CandidateFeatures
from stepwell.features.item_columns import ItemColumns
from stepwell.pipeline.planner import FULL_SHAPE
from stepwell.training.co_occurrence import CoOccurrenceOptions
from stepwell.training.event_table import EventTable, PromotionTable
from stepwell.training.item_columns_export import item_columns
from stepwell.training.newcomers import NUM_KNOWN_EVENTS
from stepwell.training.ranking_rows import (
    RankingRows,
    RowOptions,
    RowSource,
    ranking_rows,
)
from stepwell.training.retrieval_training import AS_OF, train_on_snapshot
from stepwell.training.rows_as_of import UserRowsAsOf
from stepwell.training.split import Snapshot, snapshot
from stepwell.training.training_run import catalogue_of
from stepwell.training.training_run_rankers import unhurried_plan

SMALL = replace(AS_OF, co_occurrence=CoOccurrenceOptions(regularisation=20.0, rank=16))
ALL = RowOptions(negatives=10_000, drop_view_share=0.0, newcomer_share=0.0)


def _source(known: Snapshot, work_dir: Path) -> RowSource:
    artifacts = train_on_snapshot(known, SMALL, work_dir)
    catalogue = catalogue_of(known.table)
    items = ItemColumns.from_tensors(item_columns(known), catalogue)
    return RowSource(
        known,
        artifacts.stage(),
        CandidateFeatures(items, catalogue),
        unhurried_plan(FULL_SHAPE),
        UserRowsAsOf(known),
        tuple(artifacts.popular.segment_names),
    )


@pytest.fixture(scope="module")
def source(known: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> RowSource:
    return _source(known, tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def end_time(events: EventTable) -> int:
    return int(events.times[-1]) + 1


@pytest.fixture(scope="module")
def rows(source: RowSource, end_time: int) -> RankingRows:
    return ranking_rows(source, end_time, ALL)


def test_every_target_that_is_retrieved_is_a_positive(
    source: RowSource, rows: RankingRows, end_time: int
) -> None:
    targets = source.known.targets(end_time)
    # With all 300 items asked for, nearly every target is among the candidates.
    assert 0.9 * len(targets.item_rows) < rows.labels[:, 0].sum()
    assert rows.labels[:, 0].sum() <= len(targets.item_rows)


def test_a_repeat_is_a_purchase_too(rows: RankingRows) -> None:
    assert 0 < rows.labels[:, 1].sum() < rows.labels[:, 0].sum()
    assert np.all(rows.labels[:, 1] <= rows.labels[:, 0])


def test_weights_stand_for_all_that_was_left_out(
    source: RowSource, rows: RankingRows, end_time: int
) -> None:
    sampled = ranking_rows(source, end_time, replace(ALL, negatives=20))
    assert sampled.num_queries == rows.num_queries
    assert sampled.labels.sum() == rows.labels.sum()
    per_query = [np.add.reduceat(r.weights, r.offsets[:-1]) for r in (sampled, rows)]
    np.testing.assert_allclose(per_query[0], per_query[1], rtol=1e-5)


def test_the_same_seed_draws_the_same_rows(source: RowSource, end_time: int) -> None:
    options = RowOptions(max_queries=20, negatives=20, seed=5)
    first, second = (ranking_rows(source, end_time, options) for _ in range(2))
    assert first.num_queries == 20
    np.testing.assert_array_equal(first.dense, second.dense)


def test_features_do_not_see_what_comes_after_the_cut(
    rows: RankingRows, known: Snapshot, end_time: int, tmp_path: Path
) -> None:
    table = known.table
    future = table.times >= known.cut_time
    # Another future: who comes stays the same, what they buy of the catalogue does not.
    future &= np.isin(table.item_rows, known.table_rows)
    shuffled = table.item_rows.copy()
    shuffled[future] = np.random.default_rng(9).permutation(shuffled[future])
    other = snapshot(replace(table, item_rows=shuffled), known.cut_time)
    others = ranking_rows(_source(other, tmp_path), end_time, ALL)
    assert not np.array_equal(rows.labels, others.labels)
    np.testing.assert_array_equal(rows.dense, others.dense)


def _column(source: RowSource, rows: RankingRows, name: str) -> list[float]:
    place = source.features.catalogue.dense_names.index(name)
    return [float(value) for value in rows.dense[rows.offsets[:-1], place]]


def test_without_drops_known_users_miss_nothing(
    source: RowSource, end_time: int
) -> None:
    rows = ranking_rows(source, end_time, ALL)
    for view in ("user_history", "user_activity"):
        assert not any(_column(source, rows, f"missing_{view}"))
    assert all(_column(source, rows, "user_activity_purchase_decayed_30d"))
    assert any(rows.dense[:, -1]), "item_activity_purchase_decayed_7d"


def test_a_dropped_view_is_its_default_and_its_indicator(
    source: RowSource, end_time: int
) -> None:
    rows = ranking_rows(source, end_time, replace(ALL, drop_view_share=1.0))
    for view in ("user_history", "user_activity", "user_profile"):
        assert all(_column(source, rows, f"missing_{view}"))
    for name in ("user_trips", "own_is", "user_activity_purchase_decayed_30d"):
        assert not any(_column(source, rows, name))
    # Retrieval too did without: these are the candidates of a stranger.
    assert not any(_column(source, rows, "source_history_score"))


def test_each_view_is_dropped_on_its_own_in_its_share_of_the_queries(
    source: RowSource, end_time: int
) -> None:
    rows = ranking_rows(source, end_time, replace(ALL, drop_view_share=0.3))
    columns = np.array(
        [
            _column(source, rows, f"missing_{view}")
            for view in ("user_history", "user_activity")
        ]
    )
    assert 0.15 < columns[0].mean() < 0.45
    assert 0.15 < columns[1].mean() < 0.45
    assert (columns[0] != columns[1]).any()


def test_promoted_items_join_as_candidates_of_no_source(
    known: Snapshot, end_time: int, source: RowSource
) -> None:
    few = replace(unhurried_plan(FULL_SHAPE), num_candidates=20)
    cut = known.cut_time
    ones = np.ones(30, np.float32)
    promotions = PromotionTable(
        item_rows=known.table_rows[:30].astype(np.int32),
        start_times=np.full(30, cut - 10),
        end_times=np.r_[np.full(20, cut + 10), np.full(10, cut)],
        display_share=ones,
        mailer_share=ones,
    )
    table = replace(known.table, promotions=promotions)
    promoted = replace(source, known=replace(known, table=table), plan=few)
    options = RowOptions(max_queries=10, negatives=20, promoted=8)
    with_more = ranking_rows(promoted, end_time, options)
    without = ranking_rows(promoted, end_time, replace(options, promoted=0))
    added = len(with_more.labels) - len(without.labels)
    assert 0 < added <= 10 * 8


def test_a_source_that_fails_stops_the_training(
    source: RowSource, end_time: int
) -> None:
    class Broken:
        def run(self, *args: object) -> object:
            from stepwell.pipeline.candidate import CandidateSet
            from stepwell.pipeline.stages import Retrieved

            empty = CandidateSet.of_rows(np.zeros(0, np.int64))
            return Retrieved(empty, {"ann": "INTERNAL: broken"})

    broken = replace(source, retriever=Broken())  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="broken"):
        ranking_rows(broken, end_time, ALL)


def test_newcomers_are_asked_for_with_few_events_and_no_profile(
    source: RowSource, end_time: int
) -> None:
    rows = ranking_rows(source, end_time, replace(ALL, newcomer_share=1.0))
    assert all(_column(source, rows, "missing_user_profile"))
    num_items = _column(source, rows, "user_items")
    assert max(num_items) <= max(NUM_KNOWN_EVENTS)
    assert len(set(num_items)) > 2
    missing = _column(source, rows, "missing_user_history")
    assert missing == [float(number == 0) for number in num_items]
