"""What every AnnIndex must do, run on each of them."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from stepwell.index.ann_index import (
    Codes,
    FlatIndex,
    FlatOptions,
    HnswIndex,
    HnswOptions,
    Metric,
)

N, D = 600, 24
HASH = bytes(range(32))
Floats = npt.NDArray[np.float32]
Index = FlatIndex | HnswIndex


class _Kind:
    """One way to hold vectors; calling it builds an index."""

    def __init__(self, codes: Codes | None, keep_vectors: bool = True) -> None:
        self.codes, self.keep_vectors = codes, keep_vectors
        self.name = "flat" if codes is None else f"hnsw-{codes}"
        self.name += "" if keep_vectors else "-only"

    @property
    def scores_exactly(self) -> bool:
        """Whether float32 vectors decide; else scores have the error of the codes."""
        return self.keep_vectors or self.codes == "float32"

    def __call__(
        self, vectors: Floats, ids: Any, metric: Metric = "cosine"
    ) -> FlatIndex | HnswIndex:
        if self.codes is None:
            return FlatIndex.build(vectors, ids, FlatOptions(metric, HASH))
        options = HnswOptions(
            metric, space_hash=HASH, codes=self.codes, keep_vectors=self.keep_vectors
        )
        return HnswIndex.build(vectors, ids, options)


KINDS = (
    _Kind(None),
    _Kind("float32"),
    _Kind("bfloat16"),
    _Kind("bfloat16", keep_vectors=False),
    _Kind("int8"),
    _Kind("int8", keep_vectors=False),
)


@pytest.fixture(params=KINDS, ids=[kind.name for kind in KINDS])
def build(request: pytest.FixtureRequest) -> _Kind:
    made: _Kind = request.param
    return made


@pytest.fixture(scope="module")
def vectors() -> Floats:
    return np.random.default_rng(7).normal(size=(N, D)).astype(np.float32)


@pytest.fixture
def index(build: _Kind, vectors: Floats) -> Index:
    return build(vectors, np.arange(N))


def _scores(metric: Metric, vectors: Floats, query: Floats) -> npt.NDArray[np.float64]:
    x, q = vectors.astype(np.float64), query.astype(np.float64)
    if metric == "l2":
        return np.asarray(-((x - q) ** 2).sum(axis=1))
    if metric == "cosine":
        return np.asarray(x @ q / np.linalg.norm(x, axis=1) / np.linalg.norm(q))
    return np.asarray(x @ q)


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
def test_finds_the_best_items_with_their_scores(
    build: _Kind, vectors: Floats, metric: Metric
) -> None:
    queries = np.random.default_rng(8).normal(size=(5, D)).astype(np.float32)
    result = build(vectors, np.arange(N), metric).search(queries, 10, ef_search=N)
    for row, query in enumerate(queries):
        expected = _scores(metric, vectors, query)
        best = np.argsort(-expected, kind="stable")[:10]
        if build.scores_exactly:
            assert result.ids[row].tolist() == best.tolist()
        else:
            assert np.isin(best, result.ids[row]).mean() >= 0.8
        want = expected[result.ids[row]]
        error = 1e-4 if build.scores_exactly else 0.02
        np.testing.assert_allclose(result.scores[row], want, rtol=error)


def test_result_has_the_documented_shapes_and_types(
    index: Index, vectors: Floats
) -> None:
    result = index.search(vectors[:3], 7)
    assert result.ids.shape == result.scores.shape == (3, 7)
    assert result.ids.dtype == np.dtype(np.int64)
    assert result.scores.dtype == np.dtype(np.float32)
    assert result.counts.tolist() == [7, 7, 7]
    assert result.truncated.tolist() == [False] * 3
    assert np.all(np.diff(result.scores) <= 0)


def test_no_queries_give_an_empty_result(index: Index) -> None:
    result = index.search(np.empty((0, D), np.float32), 5)
    assert result.ids.shape == (0, 5)
    assert result.counts.shape == (0,)


def test_ties_go_to_the_lower_id(build: _Kind) -> None:
    same = np.ones((20, D), np.float32)
    ids = np.arange(20)[::-1] * 3
    result = build(same, ids).search(same[:1], 5)
    assert result.ids[0].tolist() == [0, 3, 6, 9, 12]


def test_fewer_items_than_k_give_a_short_list(build: _Kind, vectors: Floats) -> None:
    result = build(vectors[:4], np.arange(4)).search(vectors[:1], 10)
    assert result.counts[0] == 4
    assert result.ids[0, 4:].tolist() == [-1] * 6
    assert result.scores[0, 4:].tolist() == [0.0] * 6


def test_an_empty_index_answers_and_then_grows(build: _Kind, vectors: Floats) -> None:
    index = build(np.empty((0, D), np.float32), np.empty(0, np.int64))
    assert index.search(vectors[:1], 3).counts.tolist() == [0]
    index.upsert(vectors[:50], np.arange(50) + 100)
    assert index.search(vectors[:1], 1).ids[0, 0] == 100
    assert index.stats().num_items == 50


def test_an_upsert_replaces_a_known_item(index: Index, vectors: Floats) -> None:
    index.upsert(-vectors[:1], np.array([0]))
    assert index.stats().num_items == N
    assert index.search(-vectors[:1], 1).ids[0, 0] == 0
    assert index.search(vectors[:1], N, ef_search=N).ids[0, -1] == 0


def test_deleted_items_are_never_returned(index: Index, vectors: Floats) -> None:
    gone = np.arange(0, N, 2)
    assert index.delete(gone) == (N // 2, 0)
    result = index.search(vectors[:20], N, ef_search=N)
    assert not np.isin(result.ids, gone).any()
    assert result.counts.tolist() == [N // 2] * 20
    assert index.stats().num_items == N // 2


def test_unknown_and_deleted_ids_are_counted_by_delete(index: Index) -> None:
    assert index.delete(np.array([1, 1, N + 5])) == (1, 2)
    assert index.delete(np.array([1])) == (0, 1)


def test_a_deleted_item_comes_back_by_upsert(index: Index, vectors: Floats) -> None:
    index.delete(np.array([3]))
    index.upsert(vectors[3:4], np.array([3]))
    assert index.search(vectors[3:4], 1).ids[0, 0] == 3
    assert index.stats().num_items == N


def test_excluded_ids_are_not_returned(index: Index, vectors: Floats) -> None:
    plain = index.search(vectors[:1], 20, ef_search=N)
    excluded = plain.ids[0, :10]
    result = index.search(
        vectors[:1], 10, ef_search=N, exclude_ids=np.append(excluded, N + 9)
    )
    assert result.ids[0].tolist() == plain.ids[0, 10:].tolist()
    again = index.search(vectors[:1], 20, ef_search=N)
    assert again.ids.tolist() == plain.ids.tolist()


@pytest.mark.parametrize("share", [0.002, 0.05, 0.5, 0.95])
def test_only_allowed_ids_are_returned_and_the_best_of_them(
    index: Index, vectors: Floats, share: float
) -> None:
    allowed = np.random.default_rng(3).random(N) < share
    allowed[17] = True
    result = index.search(vectors[:1], 10, ef_search=N, allowed=allowed)
    scores = np.where(allowed, _scores("cosine", vectors, vectors[0]), -np.inf)
    expected = np.argsort(-scores, kind="stable")[: min(10, allowed.sum())]
    assert result.counts[0] == len(expected)
    found = result.ids[0, : len(expected)]
    if index.stats().keep_vectors:
        assert found.tolist() == expected.tolist()
    else:
        assert allowed[found].all()
        assert np.isin(expected, found).mean() >= 0.8


def test_ids_beyond_the_allowed_array_are_not_allowed(
    index: Index, vectors: Floats
) -> None:
    result = index.search(vectors[:1], N, ef_search=N, allowed=np.ones(5, bool))
    assert sorted(result.ids[0, : result.counts[0]].tolist()) == [0, 1, 2, 3, 4]


def test_nothing_allowed_is_an_empty_answer(index: Index, vectors: Floats) -> None:
    assert index.search(vectors[:1], 5, allowed=np.zeros(N, bool)).counts[0] == 0


def test_a_saved_index_answers_the_same_after_opening(
    index: Index, vectors: Floats, tmp_path: Path
) -> None:
    index.delete(np.array([0, 5]))
    index.save(tmp_path / "index")
    opened = type(index).open(tmp_path / "index", HASH)
    before, after = (i.search(vectors[:50], 30) for i in (index, opened))
    assert before.ids.tolist() == after.ids.tolist()
    assert before.scores.tolist() == after.scores.tolist()
    assert opened.stats().space_hash == HASH
    assert opened.stats().num_items == N - 2
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_an_opened_index_can_be_changed_and_saved_again(
    index: Index, vectors: Floats, tmp_path: Path
) -> None:
    index.save(tmp_path / "index")
    opened = type(index).open(tmp_path / "index")
    opened.upsert(vectors[:1] * 2 + 1, np.array([N]))
    opened.delete(np.array([1]))
    opened.save(tmp_path / "index")
    again = type(index).open(tmp_path / "index")
    assert again.search(vectors[:1] * 2 + 1, 1).ids[0, 0] == N
    assert again.stats().num_items == N


def test_an_index_of_another_space_does_not_open(index: Index, tmp_path: Path) -> None:
    index.save(tmp_path / "index")
    with pytest.raises(FailedPreconditionError, match="another embedding space"):
        type(index).open(tmp_path / "index", bytes(32))


def test_an_index_of_the_other_kind_does_not_open(index: Index, tmp_path: Path) -> None:
    index.save(tmp_path / "index")
    other = FlatIndex if isinstance(index, HnswIndex) else HnswIndex
    with pytest.raises(FailedPreconditionError, match="kind"):
        other.open(tmp_path / "index")


def test_a_missing_file_is_not_found(index: Index, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="cannot open"):
        type(index).open(tmp_path / "none")


def test_damage_at_any_place_is_found(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "index"
    index.save(path)
    good = path.read_bytes()
    random = np.random.default_rng(11)
    for bit in random.integers(0, len(good) * 8, 300).tolist():
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(bad)
        with pytest.raises(DataLossError, match=str(path)):
            type(index).open(path)


def test_a_truncated_file_is_refused(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "index"
    index.save(path)
    good = path.read_bytes()
    lengths = np.random.default_rng(12).integers(0, len(good), 100).tolist()
    for length in [0, 95, 96, 480, len(good) - 1, *lengths]:
        path.write_bytes(good[:length])
        with pytest.raises(DataLossError):
            type(index).open(path)
    path.write_bytes(good + b"\0")
    with pytest.raises(DataLossError):
        type(index).open(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k is 0, must be in"),
        ({"k": 10_001}, "k is 10001, must be in"),
        ({"ef_search": 0}, "ef_search is 0, must be in"),
        ({"ef_search": 10_001}, "ef_search is 10001"),
        ({"budget_us": -1}, "budget_us is -1"),
        ({"queries": np.ones((1, D + 1), np.float32)}, "queries has shape"),
        ({"queries": np.ones(D, np.float32)}, "queries has shape"),
        ({"queries": np.full((1, D), np.nan, np.float32)}, "not finite"),
        ({"queries": np.full((1, D), np.inf, np.float32)}, "not finite"),
        ({"queries": np.zeros((1, D), np.float32)}, "is zero"),
        ({"allowed": np.ones(N, np.int64)}, "allowed must be"),
        ({"allowed": np.ones((2, N), bool)}, "allowed must be"),
        ({"exclude_ids": np.array([0.5])}, "exclude_ids has dtype"),
    ],
)
def test_a_bad_search_is_refused_with_its_field(
    index: Index, arguments: dict[str, Any], message: str
) -> None:
    call: dict[str, Any] = {"queries": np.ones((1, D), np.float32), "k": 5}
    with pytest.raises(InvalidArgumentError, match=message) as error:
        index.search(**(call | arguments))
    assert error.value.field in arguments or error.value.field == "queries"


@pytest.mark.parametrize(
    ("rows", "ids", "message"),
    [
        (2, [1], "vectors has"),
        (2, [1, 1], "ids has 1 twice"),
        (1, [-1], "ids has -1 at 0"),
        (1, [[1]], "ids must have one dimension"),
        (1, [1.5], "ids has dtype"),
    ],
)
def test_a_bad_upsert_changes_nothing(
    index: Index, vectors: Floats, rows: int, ids: list[Any], message: str
) -> None:
    before = index.search(vectors[:10], 10)
    with pytest.raises(InvalidArgumentError, match=message):
        index.upsert(np.ones((rows, D), np.float32), np.array(ids))
    assert index.search(vectors[:10], 10).ids.tolist() == before.ids.tolist()


def test_vectors_that_are_not_finite_are_refused(index: Index) -> None:
    bad = np.ones((3, D), np.float32)
    bad[1, 4] = np.nan
    with pytest.raises(InvalidArgumentError, match="row 1 is not finite"):
        index.upsert(bad, np.arange(3))


def test_searches_and_writes_from_many_threads_agree_in_the_end(
    index: Index, vectors: Floats
) -> None:
    failures: list[Exception] = []

    def search() -> None:
        try:
            for _ in range(30):
                result = index.search(vectors[:8], 10)
                assert result.counts.tolist() == [10] * 8
        except Exception as error:  # noqa: BLE001 - asserted on after the join
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for start in range(0, 100, 10):
        index.upsert(vectors[start : start + 10] + 1, np.arange(start, start + 10) + N)
        index.delete(np.arange(start, start + 5) + N)
    for thread in threads:
        thread.join()
    assert not failures
    assert index.stats().num_items == N + 50
