"""What each source is for."""

from dataclasses import replace

import numpy as np

from stepwell.base.metric_names import RECALL_AT_K, RECALL_PROBES
from stepwell.base.metrics import Metrics
from stepwell.ops.history_scores import repeat_scores
from stepwell.retrieval.ann_source import AnnSource
from stepwell.retrieval.co_occurrence_source import (
    SHORT_HISTORY_ITEMS,
    CoOccurrenceSource,
)
from stepwell.retrieval.conftest import DAY, NOW, World
from stepwell.retrieval.history_source import HistorySource
from stepwell.retrieval.popular_source import PopularSource
from stepwell.retrieval.recall_probe import RecallProbe, RecallProbeOptions
from stepwell.schema.user_history import UserHistory


def _history(*times: list[int]) -> UserHistory:
    keys = [key for key, item in enumerate(times) for _ in item]
    flat = [NOW - days * DAY for item in times for days in item]
    return UserHistory.from_events(np.array(keys, np.uint64), np.array(flat, np.int64))


def _score_of(history: UserHistory, key: int) -> float:
    times = history.num_purchases, history.first_time, history.last_time
    return float(repeat_scores(*times, NOW)[history.keys == key][0])


def test_history_prefers_frequent_items_to_single_ones() -> None:
    history = _history([1, 8, 15, 22], [1])
    assert _score_of(history, 0) > _score_of(history, 1)


def test_history_prefers_recent_items_at_equal_counts() -> None:
    history = _history([2, 12], [80, 90])
    assert _score_of(history, 0) > _score_of(history, 1)


def test_history_lets_a_slow_rhythm_live_longer() -> None:
    slow, fast = _history([90, 180, 270]), _history([90, 91, 92])
    kept = _score_of(slow, 0) / _score_of(_history([0, 90, 180]), 0)
    lost = _score_of(fast, 0) / _score_of(_history([0, 1, 2]), 0)
    assert kept > lost


def test_history_leaves_out_items_the_release_does_not_know(world: World) -> None:
    user = world.user((4, -1, 9))
    rows = HistorySource().retrieve(world.query(), user, world.request(10)).rows
    assert sorted(rows.tolist()) == [4, 9]


def test_co_occurrence_finds_the_strongest_neighbours(world: World) -> None:
    source = CoOccurrenceSource(world.artifacts.co_occurrence)
    result = source.retrieve(world.query(), world.user((10, 11)), world.request(3))
    assert result.rows.tolist() == [12, 11, 13]


def test_co_occurrence_of_a_short_list_reads_a_short_history(world: World) -> None:
    source = CoOccurrenceSource(world.artifacts.co_occurrence)
    unknown = tuple(range(1_000, 1_000 + SHORT_HISTORY_ITEMS))
    user = world.user((*unknown, 10))
    rows = np.where(user.history_rows < 1_000, user.history_rows, -1)
    user = replace(user, history_rows=rows)
    asked = world.request(SHORT_HISTORY_ITEMS)
    assert len(source.retrieve(world.query(), user, asked).rows) == 0
    asked = world.request(SHORT_HISTORY_ITEMS + 1)
    assert source.retrieve(world.query(), user, asked).rows[0] == 11


def test_co_occurrence_scores_equal_the_matrix(world: World) -> None:
    model = world.artifacts.co_occurrence
    n = model.num_items
    matrix = model.input_vectors @ model.output_vectors.T
    for row, near in enumerate(model.neighbour_rows):
        kept = near >= 0
        matrix[row, near[kept]] += model.neighbour_weights[row, kept]
    rows, weights = np.array([5, 7, 100]), np.array([1.0, 0.5, 2.0], np.float32)
    affinity = model.affinity
    assert affinity is not None
    # One category: its share of any history is 1.
    factors = np.float32(1 + 1e-4) ** affinity.power[0] * affinity.lifts
    want = weights @ matrix[rows] * factors
    np.testing.assert_allclose(model.scores(rows, weights), want, rtol=1e-4, atol=1e-5)
    assert len(want) == n


def test_ann_returns_the_nearest_of_the_exact_scores(world: World) -> None:
    tower = world.artifacts.user_tower
    source = AnnSource(tower, world.artifacts.index)
    user = world.user((3, 8))
    found = source.retrieve(world.query(), user, world.request(5))
    history = user.history
    times = history.first_time, history.last_time
    vector = tower.vectors().of(history.num_purchases, times, user.history_rows, NOW)
    assert vector is not None
    assert vector.shape == (tower.dim,)
    items = np.arange(world.artifacts.co_occurrence.num_items)
    exact = world.artifacts.index.search(vector[None], len(items), ef_search=500)
    assert found.rows.tolist() == exact.ids[0, :5].tolist()


def test_ann_shows_its_searches_to_the_probe(world: World) -> None:
    metrics, index = Metrics(), world.artifacts.index
    probe = RecallProbe(index, metrics, RecallProbeOptions(share=1.0))
    source = AnnSource(world.artifacts.user_tower, index, probe)
    source.retrieve(world.query((4,)), world.user((3, 8)), world.request(5))
    source.retrieve(world.query(), world.user(()), world.request(5))
    probe.wait()
    assert metrics.value(RECALL_PROBES, "answered") == 1
    assert metrics.value(RECALL_AT_K) == 1.0


def test_ann_does_not_return_excluded_items(world: World) -> None:
    source = AnnSource(world.artifacts.user_tower, world.artifacts.index)
    user = world.user((3, 8))
    best = int(source.retrieve(world.query(), user, world.request(1)).rows[0])
    again = source.retrieve(world.query((best,)), user, world.request(10))
    assert best not in again.rows.tolist()


def test_popular_fills_a_short_segment_from_the_global_list(world: World) -> None:
    source = PopularSource(world.artifacts.popular)
    user = world.user((), segment_row=0)
    assert source.retrieve(world.query(), user, world.request(3)).rows.tolist() == [
        0,
        1,
        2,
    ]
    lists = world.artifacts.popular
    north = lists.popular(lists.segment_row("north"), 4)
    assert north.rows.tolist() == [50, 51, 0, 1]
    assert (np.diff(north.scores) < 0).all()


def test_popular_takes_an_unknown_segment_as_unknown(world: World) -> None:
    lists = world.artifacts.popular
    assert lists.segment_row("no such segment") == 0
    assert lists.popular(99, 2).rows.tolist() == [0, 1]
