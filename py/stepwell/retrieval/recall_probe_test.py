import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import RECALL_AT_K, RECALL_PROBES
from stepwell.base.metrics import Metrics
from stepwell.index.ann_index import FlatIndex, HnswIndex, HnswOptions
from stepwell.retrieval.recall_probe import RecallProbe, RecallProbeOptions

N, D, K = 3_000, 16, 10
EVERY_QUERY = RecallProbeOptions(share=1.0, max_waiting=1_000)


@pytest.fixture(scope="module")
def vectors() -> npt.NDArray[np.float32]:
    return np.random.default_rng(5).normal(size=(N, D)).astype(np.float32)


@pytest.fixture(scope="module")
def index(vectors: npt.NDArray[np.float32]) -> HnswIndex:
    """A graph of few links: a narrow search of it misses a good deal."""
    return HnswIndex.build(vectors, np.arange(N), HnswOptions(m=4, ef_construction=20))


def _probed(
    index: HnswIndex, queries: npt.NDArray[np.float32], ef_search: int
) -> tuple[float, float]:
    """(the gauge, the recall counted here)."""
    metrics = Metrics()
    probe = RecallProbe(index, metrics, EVERY_QUERY)
    found = index.search(queries, K, ef_search=ef_search).ids
    for query, ids in zip(queries, found, strict=True):
        probe.observe(query, K, ids)
    probe.wait()
    best = index.search(queries, K, exact=True).ids
    shares = [np.isin(b, f).mean() for b, f in zip(best, found, strict=True)]
    return metrics.value(RECALL_AT_K), float(np.mean(shares))


def test_the_gauge_is_the_recall_of_the_searches(
    index: HnswIndex, vectors: npt.NDArray[np.float32]
) -> None:
    gauge, counted = _probed(index, vectors[:100] + np.float32(0.1), ef_search=10)
    assert gauge == pytest.approx(counted)


def test_a_narrow_search_shows_in_the_gauge(
    index: HnswIndex, vectors: npt.NDArray[np.float32]
) -> None:
    narrow, _ = _probed(index, vectors[:100] + np.float32(0.1), ef_search=K)
    wide, _ = _probed(index, vectors[:100] + np.float32(0.1), ef_search=1_000)
    assert narrow < 0.9
    assert wide > 0.98


def test_the_exact_answer_is_filtered_as_the_search_was(
    vectors: npt.NDArray[np.float32],
) -> None:
    index, metrics = FlatIndex.build(vectors, np.arange(N)), Metrics()
    probe = RecallProbe(index, metrics, EVERY_QUERY)
    query, allowed = vectors[0], np.arange(N) % 2 == 0
    excluded = index.search(query[None], K, allowed=allowed).ids[0, :4].copy()
    found = index.search(query[None], K, exclude_ids=excluded, allowed=allowed)
    probe.observe(query, K, found.ids[0], exclude_ids=excluded, allowed=allowed)
    excluded[:] = -1
    probe.wait()
    assert metrics.value(RECALL_AT_K) == 1.0
    assert metrics.value(RECALL_PROBES, "answered") == 1


def test_about_the_share_asked_for_is_measured(
    vectors: npt.NDArray[np.float32],
) -> None:
    index, metrics = FlatIndex.build(vectors[:20], np.arange(20)), Metrics()
    options = RecallProbeOptions(share=0.1, max_waiting=5_000, seed=1)
    probe = RecallProbe(index, metrics, options)
    ids = index.search(vectors[:1], K).ids[0]
    for _ in range(5_000):
        probe.observe(vectors[0], K, ids)
    probe.wait()
    assert 400 < metrics.value(RECALL_PROBES, "answered") < 600


class _SlowIndex:
    """Answers when it is let go; the rest is the index's."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self.started, self.may_answer = threading.Event(), threading.Event()

    def search(self, *args: Any, **kwargs: Any) -> Any:
        self.started.set()
        self.may_answer.wait(10)
        return self._index.search(*args, **kwargs)


def test_queries_past_the_queue_are_dropped_and_counted_not_waited_for(
    vectors: npt.NDArray[np.float32],
) -> None:
    index: Any = _SlowIndex(FlatIndex.build(vectors[:20], np.arange(20)))
    metrics = Metrics()
    probe = RecallProbe(index, metrics, RecallProbeOptions(share=1.0, max_waiting=3))
    probe.observe(vectors[0], K, np.arange(K))
    assert index.started.wait(10)
    for _ in range(8):
        probe.observe(vectors[0], K, np.arange(K))
    assert metrics.value(RECALL_PROBES, "dropped") == 5
    index.may_answer.set()
    probe.wait()
    assert metrics.value(RECALL_PROBES, "answered") == 4


class _BrokenIndex:
    def search(self, *args: Any, **kwargs: Any) -> Any:
        raise UnavailableError("no")


def test_an_index_that_fails_is_counted_and_does_not_end_the_probe(
    vectors: npt.NDArray[np.float32],
) -> None:
    broken: Any = _BrokenIndex()
    metrics = Metrics()
    probe = RecallProbe(broken, metrics, EVERY_QUERY)
    for _ in range(3):
        probe.observe(vectors[0], K, np.arange(K))
    probe.wait()
    assert metrics.value(RECALL_PROBES, "failed") == 3


def test_an_empty_answer_does_not_move_the_gauge(
    vectors: npt.NDArray[np.float32],
) -> None:
    index, metrics = FlatIndex.build(vectors[:20], np.arange(20)), Metrics()
    probe = RecallProbe(index, metrics, EVERY_QUERY)
    nothing = np.zeros(20, bool)
    probe.observe(vectors[0], K, np.full(K, -1), allowed=nothing)
    probe.wait()
    assert metrics.value(RECALL_PROBES, "empty") == 1
    assert metrics.value(RECALL_AT_K) == 0.0


def test_the_thread_ends_when_idle_and_comes_back(
    vectors: npt.NDArray[np.float32],
) -> None:
    index, metrics = FlatIndex.build(vectors[:20], np.arange(20)), Metrics()
    options = RecallProbeOptions(share=1.0, idle_seconds=0.01)
    probe = RecallProbe(index, metrics, options)
    before = set(threading.enumerate())
    for number in range(1, 4):
        probe.observe(vectors[0], K, np.arange(K))
        probe.wait()
        for thread in set(threading.enumerate()) - before:
            thread.join(10)
        assert set(threading.enumerate()) <= before
        assert metrics.value(RECALL_PROBES, "answered") == number


def test_a_share_that_is_none_is_refused(vectors: npt.NDArray[np.float32]) -> None:
    index = FlatIndex.build(vectors[:20], np.arange(20))
    with pytest.raises(ValueError, match=r"share is 1\.5"):
        RecallProbe(index, Metrics(), RecallProbeOptions(share=1.5))
