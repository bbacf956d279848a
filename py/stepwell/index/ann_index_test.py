"""What HnswIndex promises beyond the conformance suite."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stepwell.base.errors import (
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from stepwell.index.ann_index import (
    FlatIndex,
    FlatOptions,
    HnswIndex,
    HnswOptions,
    Metric,
)
from stepwell.index.item_filter import ItemAttributes, any_of

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
        (HnswOptions(codes="int4"), "codes is"),  # type: ignore[arg-type]
        (HnswOptions(seed=-1), "seed is -1"),
        (HnswOptions(num_threads=1 << 40), "num_threads is 1099511627776"),
        (HnswOptions(m="many"), "m is 'many'"),  # type: ignore[arg-type]
        (HnswOptions(int8_limit=-1.0), "int8_limit is"),
        (HnswOptions(capacity=-1), "capacity is"),
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


def test_progress_counts_up_to_all_items(vectors: npt.NDArray[np.float32]) -> None:
    seen: list[tuple[int, int]] = []
    options = HnswOptions(ef_construction=20)
    HnswIndex.build(
        vectors[:N],
        np.arange(N),
        options,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (N, N)
    assert seen == sorted(seen)


def test_what_progress_raises_ends_the_build(vectors: npt.NDArray[np.float32]) -> None:
    def stop(_done: int, _total: int) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        HnswIndex.build(vectors[:N], np.arange(N), progress=stop)


def test_an_opened_index_is_mapped_until_it_is_written(
    vectors: npt.NDArray[np.float32], tmp_path: Path
) -> None:
    path = tmp_path / "index"
    HnswIndex.build(vectors[:500], np.arange(500)).save(path)
    index = HnswIndex.open(path)
    assert index.stats().mapped
    index.upsert(vectors[500:501], np.array([500]))
    assert not index.stats().mapped
    assert HnswIndex.open(path).stats().num_items == 500


def test_reclaiming_frees_the_places_of_deleted_items(
    vectors: npt.NDArray[np.float32],
) -> None:
    options = HnswOptions(ef_construction=50, background=False)
    index = HnswIndex.build(vectors[:500], np.arange(500), options)
    index.delete(np.arange(100))
    index.upsert(vectors[100:150], np.arange(200, 250))
    assert index.stats().num_deleted == 150
    index.reclaim()
    stats = index.stats()
    assert (stats.num_items, stats.num_deleted, stats.num_free) == (400, 0, 150)
    nodes = stats.num_nodes
    index.upsert(vectors[:100], np.arange(100))
    assert index.stats().num_nodes == nodes
    truth = FlatIndex.build(index.vectors(index.ids()), index.ids())
    found = index.search(vectors[N:], K, ef_search=200)
    assert _recall(found.ids, truth.search(vectors[N:], K).ids) >= 0.97


def test_ids_are_those_alive_and_vectors_are_as_compared(
    vectors: npt.NDArray[np.float32],
) -> None:
    index = HnswIndex.build(vectors[:50], np.arange(50)[::-1].copy() * 2)
    index.delete(np.array([4]))
    assert index.ids().tolist() == [i * 2 for i in range(50) if i != 2]
    found = index.vectors(np.array([98, 0]))
    want = vectors[[0, 49]]
    unit = want / np.linalg.norm(want, axis=1, keepdims=True)
    np.testing.assert_allclose(found, unit, rtol=1e-5)
    with pytest.raises(NotFoundError, match="4"):
        index.vectors(np.array([4]))


def test_an_exact_search_is_that_of_the_exact_index(
    vectors: npt.NDArray[np.float32],
) -> None:
    options = HnswOptions(m=4, ef_construction=10)
    index = HnswIndex.build(vectors[:N], np.arange(N), options)
    truth = FlatIndex.build(vectors[:N], np.arange(N)).search(vectors[N:], K)
    found = index.search(vectors[N:], K, exact=True)
    assert found.ids.tolist() == truth.ids.tolist()
    assert (found.strategy, found.num_exact) == ("exact", 100)
    assert index.search(vectors[N:], K).strategy == "graph"


def test_a_compiled_set_filters_as_its_flags_do(
    vectors: npt.NDArray[np.float32],
) -> None:
    index = HnswIndex.build(vectors[:N], np.arange(N), HnswOptions(ef_construction=50))
    tags = np.arange(N) % 7
    attributes = ItemAttributes(N, tags={"group": tags})
    compiled = attributes.compile(any_of("group", [3, 5]))
    by_set = index.search(vectors[N:], K, allowed=compiled)
    by_flags = index.search(vectors[N:], K, allowed=np.isin(tags, [3, 5]))
    assert by_set.ids.tolist() == by_flags.ids.tolist()
    assert by_set.strategy == by_flags.strategy != "graph"


@pytest.mark.parametrize(
    "made",
    [
        lambda rows: rows.astype(np.float64),
        lambda rows: np.asfortranarray(rows),
        lambda rows: rows.astype(">f4"),
        lambda rows: np.repeat(rows, 2, axis=0)[::2],
        lambda rows: rows.tolist(),
        lambda rows: _unaligned(rows),
    ],
)
def test_other_numbers_are_converted(
    vectors: npt.NDArray[np.float32], made: Callable[[Any], Any]
) -> None:
    index = FlatIndex.build(vectors[:50], np.arange(50))
    want = index.search(vectors[:5], K)
    assert index.search(made(vectors[:5]), K).ids.tolist() == want.ids.tolist()


def _unaligned(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    raw = np.frombuffer(b"\0" + rows.tobytes(), np.uint8)
    return raw[1:].view(np.float32).reshape(rows.shape)


@pytest.mark.parametrize("queries", [["a"], [["a", "b"]], None, [[1], [1, 2]]])
def test_what_is_no_array_of_numbers_is_refused(
    vectors: npt.NDArray[np.float32], queries: Any
) -> None:
    index = FlatIndex.build(vectors[:50], np.arange(50))
    with pytest.raises(InvalidArgumentError, match="queries"):
        index.search(queries, K)


def test_one_vector_is_no_set_of_vectors() -> None:
    with pytest.raises(InvalidArgumentError, match=r"vectors has .* must be \[N, D\]"):
        HnswIndex.build(np.ones(D, np.float32), np.arange(1))


@pytest.mark.filterwarnings("error")
def test_a_conversion_that_numpy_gives_up_is_an_error(
    vectors: npt.NDArray[np.float32],
) -> None:
    index = FlatIndex.build(vectors[:50], np.arange(50))
    with pytest.raises(InvalidArgumentError, match="queries cannot be converted"):
        index.search(np.full((1, D), 1e300), K)
