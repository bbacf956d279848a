"""What HnswIndex promises beyond the conformance suite."""

import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.index.ann_index import (
    FlatIndex,
    FlatOptions,
    HnswIndex,
    HnswOptions,
    Metric,
)

N, D, K = 4_000, 32, 10
SEED = 20_171_126


@pytest.fixture(scope="module")
def vectors() -> npt.NDArray[np.float32]:
    """Points near a plane of 12 dimensions, as learnt embeddings are."""
    random = np.random.default_rng(SEED)
    flat = random.normal(size=(N + 100, 12)) @ random.normal(size=(12, D))
    return (flat + 0.2 * random.normal(size=flat.shape)).astype(np.float32)


def _recall(found: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> float:
    hits = [np.isin(f, t).mean() for f, t in zip(found, truth, strict=True)]
    return float(np.mean(hits))


@pytest.mark.parametrize(
    ("metric", "floor"), [("cosine", 0.99), ("l2", 0.99), ("inner_product", 0.85)]
)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_recall_at_10_stays_above_its_floor(
    vectors: npt.NDArray[np.float32], metric: Metric, floor: float, num_threads: int
) -> None:
    items, queries = vectors[:N], vectors[N:]
    ids = np.arange(N)
    options = HnswOptions(metric, ef_construction=100, num_threads=num_threads)
    found = HnswIndex.build(items, ids, options).search(queries, K, ef_search=64)
    truth = FlatIndex.build(items, ids, FlatOptions(metric)).search(queries, K)
    assert _recall(found.ids, truth.ids) >= floor


def test_recall_survives_the_replacement_of_every_item(
    vectors: npt.NDArray[np.float32],
) -> None:
    items, queries, ids = vectors[:1_000], vectors[N:], np.arange(1_000)
    index = HnswIndex.build(items[::-1].copy(), ids, HnswOptions(ef_construction=100))
    for start in range(0, 1_000, 100):
        index.upsert(items[start : start + 100], ids[start : start + 100])
    truth = FlatIndex.build(items, ids).search(queries, K)
    assert _recall(index.search(queries, K).ids, truth.ids) >= 0.97


def test_every_item_finds_itself(vectors: npt.NDArray[np.float32]) -> None:
    items = vectors[:N]
    index = HnswIndex.build(items, np.arange(N), HnswOptions(ef_construction=100))
    found = index.search(items, 1, ef_search=64).ids[:, 0]
    assert np.mean(found == np.arange(N)) >= 0.999


def test_one_thread_and_one_seed_give_one_file(
    vectors: npt.NDArray[np.float32], tmp_path: Path
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        options = HnswOptions(ef_construction=50, seed=seed)
        index = HnswIndex.build(vectors[:500], np.arange(500), options)
        index.save(tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_spent_budget_gives_what_was_found_and_says_so(
    vectors: npt.NDArray[np.float32],
) -> None:
    index = FlatIndex.build(vectors[:N], np.arange(N))
    result = index.search(np.tile(vectors[:100], (20, 1)), K, budget_us=1)
    assert result.truncated[-1]
    assert result.counts.min() >= 0
    assert not index.search(vectors[:1], K, budget_us=60_000_000).truncated[0]


def test_wider_search_measures_more_distances(
    vectors: npt.NDArray[np.float32],
) -> None:
    index = HnswIndex.build(vectors[:N], np.arange(N), HnswOptions(ef_construction=50))
    narrow, wide = (index.search(vectors[N:], K, ef_search=ef) for ef in (10, 200))
    assert narrow.num_distances < wide.num_distances
    assert narrow.num_visited < wide.num_visited


def test_other_threads_run_while_a_search_does(
    vectors: npt.NDArray[np.float32],
) -> None:
    index = FlatIndex.build(vectors[:N], np.arange(N))
    queries = np.tile(vectors[:100], (60, 1))
    span: list[float] = []

    def search() -> None:
        span.append(time.monotonic())
        index.search(queries, K)
        span.append(time.monotonic())

    thread = threading.Thread(target=search)
    thread.start()
    stamps = []
    while thread.is_alive():
        stamps.append(time.monotonic())
        thread.join(timeout=0.001)
    start, end = span
    middle = [s for s in stamps if 0.2 < (s - start) / (end - start) < 0.8]
    assert len(middle) >= 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (HnswOptions(m=1), "M is 1, must be in"),
        (HnswOptions(m=129), "M is 129"),
        (HnswOptions(ef_construction=0), "ef_construction is 0"),
        (HnswOptions(num_threads=0), "num_threads is 0"),
        (HnswOptions(space_hash=b"short"), "space_hash has 5 bytes"),
        (HnswOptions(metric="dot"), 'metric is "dot"'),  # type: ignore[arg-type]
    ],
)
def test_options_out_of_range_are_refused(options: HnswOptions, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        HnswIndex.build(np.ones((1, 4), np.float32), np.arange(1), options)


def test_a_directory_that_is_not_there_is_an_error_of_saving(tmp_path: Path) -> None:
    index = FlatIndex.build(np.ones((1, 4), np.float32), np.arange(1))
    with pytest.raises(UnavailableError, match="cannot create"):
        index.save(tmp_path / "none" / "index")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.mkdir()
    index = FlatIndex.build(np.ones((1, 4), np.float32), np.arange(1))
    with pytest.raises(UnavailableError, match="cannot rename"):
        index.save(path)
    assert path.is_dir()
    assert [p.name for p in tmp_path.iterdir()] == ["index"]
