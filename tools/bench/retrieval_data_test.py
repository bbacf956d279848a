"""Where the benchmark's vectors come from."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench import retrieval_data
from bench.retrieval_data import (
    clustered_chunks,
    exact_neighbours,
    generated,
    workload_of,
)
from bench.retrieval_options import RetrievalOptions
from stepwell.base.errors import InvalidArgumentError
from stepwell.index.options import Metric


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    path = tmp_path / "mine.npy"
    np.save(path, np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32))
    return path


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
def test_a_users_vectors_alone_are_split_and_answered(
    vectors: Path, metric: Metric
) -> None:
    options = RetrievalOptions(vectors=vectors, metric=metric)
    work = workload_of(options, vectors.parent)
    assert (work.name, work.vectors.shape, work.queries.shape) == (
        "mine",
        (270, 8),
        (30, 8),
    )
    far = work.queries[0] @ work.vectors.T
    if metric == "l2":
        far = -((work.queries[0] - work.vectors) ** 2).sum(axis=1)
    assert work.truth[0].tolist() == np.argsort(-far, kind="stable")[:100].tolist()


def test_given_queries_and_truth_are_taken_as_they_are(
    vectors: Path, tmp_path: Path
) -> None:
    queries, truth = tmp_path / "q.npy", tmp_path / "t.npy"
    np.save(queries, np.ones((2, 8), np.float32))
    np.save(truth, np.array([[5, 6], [7, 8]]))
    options = RetrievalOptions(vectors=vectors, queries=queries, truth=truth)
    work = workload_of(options, tmp_path)
    assert (len(work.vectors), work.k) == (300, 2)
    assert work.truth.tolist() == [[5, 6], [7, 8]]


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ([[5], [6], [7]], "--truth has 3 rows, --queries has 2"),
        ([[5], [300]], r"outside \[0, 300\)"),
        ([[5], [-1]], r"outside \[0, 300\)"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(
    vectors: Path, tmp_path: Path, truth: list[list[int]], said: str
) -> None:
    np.save(tmp_path / "q.npy", np.ones((2, 8), np.float32))
    np.save(tmp_path / "t.npy", np.array(truth))
    options = RetrievalOptions(
        vectors=vectors, queries=tmp_path / "q.npy", truth=tmp_path / "t.npy"
    )
    with pytest.raises(InvalidArgumentError, match=said):
        workload_of(options, tmp_path)


def test_queries_of_another_dimension_are_refused(
    vectors: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "q.npy", np.ones((2, 9), np.float32))
    options = RetrievalOptions(vectors=vectors, queries=tmp_path / "q.npy")
    with pytest.raises(InvalidArgumentError, match="dimension 9"):
        workload_of(options, tmp_path)


def test_queries_without_vectors_are_refused(tmp_path: Path) -> None:
    options = RetrievalOptions(queries=tmp_path / "q.npy")
    with pytest.raises(InvalidArgumentError, match="need --vectors"):
        workload_of(options, tmp_path)


def test_without_npm_generated_vectors_stand_in_and_say_how_to_bring_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = generated(num_items=200, num_queries=5, dim=8)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(retrieval_data, "generated", lambda **sizes: small)
    work = workload_of(RetrievalOptions(), tmp_path)
    assert work.vectors is small.vectors
    assert "npm, which is not here" in work.note
    assert "--vectors FILE.npy" in work.note


def test_a_larger_set_begins_as_a_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval_data, "CHUNK_ROWS", 100)
    small = np.concatenate(list(clustered_chunks(200, 8)))
    large = np.concatenate(list(clustered_chunks(300, 8)))
    assert np.array_equal(large[:200], small)
    assert not np.array_equal(large[:100], large[100:200])
    assert np.linalg.norm(large, axis=1) == pytest.approx(1.0)


def test_exact_neighbours_are_padded_where_few_are_allowed() -> None:
    items = np.eye(4, dtype=np.float32)
    allowed = np.array([1, 3])
    found = exact_neighbours(items, items[3:], 3, "cosine", allowed)
    assert found.tolist() == [[3, 1, -1]]
    nothing = exact_neighbours(items, items[3:], 3, "cosine", allowed[:0])
    assert nothing.tolist() == [[-1, -1, -1]]
