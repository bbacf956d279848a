"""An index in parts holds what the whole one held, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.index.ann_index import FlatIndex, FlatOptions, HnswIndex, HnswOptions
from stepwell.index.options import Metric
from stepwell.index.split import Ids, split_index

N, D = 400, 8
HASH = bytes(range(32))
RANDOM = np.random.default_rng(9)
VECTORS = RANDOM.normal(size=(N, D)).astype(np.float32)
IDS = RANDOM.permutation(N).astype(np.int64) * 10


def by_three(ids: Ids) -> Ids:
    return ids // 10 % 3


def whole(metric: Metric = "cosine", keep_vectors: bool = True) -> HnswIndex:
    options = HnswOptions(
        metric, m=6, ef_construction=50, space_hash=HASH, keep_vectors=keep_vectors
    )
    return HnswIndex.build(VECTORS, IDS, options)


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
def test_the_parts_together_answer_as_the_whole(metric: Metric, tmp_path: Path) -> None:
    paths = [tmp_path / f"part-{number}" for number in range(3)]
    counts = split_index(whole(metric), by_three, paths)
    parts = [HnswIndex.open(path, HASH) for path in paths]
    assert counts == tuple(part.stats().num_items for part in parts)
    assert sum(counts) == N
    for number, part in enumerate(parts):
        assert (by_three(part.ids()) == number).all()
    found = [part.search(VECTORS[:5], N, ef_search=N) for part in parts]
    scores = np.concatenate([one.scores for one in found], axis=1)
    ids = np.concatenate([one.ids for one in found], axis=1)
    scores = np.where(ids >= 0, scores, -np.inf)
    truth = FlatIndex.build(VECTORS, IDS, FlatOptions(metric)).search(VECTORS[:5], 10)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    assert np.take_along_axis(ids, best, axis=1).tolist() == truth.ids.tolist()
    assert np.allclose(np.take_along_axis(scores, best, axis=1), truth.scores, 1e-4)


def test_parts_are_built_as_the_whole_was(tmp_path: Path) -> None:
    split_index(whole(keep_vectors=False), lambda ids: ids * 0, [tmp_path / "part"])
    stats = HnswIndex.open(tmp_path / "part").stats()
    assert (stats.m, stats.ef_construction, stats.space_hash) == (6, 50, HASH)
    assert (stats.codes, stats.keep_vectors) == ("int8", False)


def test_deleted_items_are_in_no_part(tmp_path: Path) -> None:
    index = whole()
    index.delete(IDS[:100])
    assert split_index(index, lambda ids: ids * 0, [tmp_path / "part"]) == (N - 100,)


def test_a_part_may_be_empty(tmp_path: Path) -> None:
    paths = [tmp_path / "some", tmp_path / "none"]
    assert split_index(whole(), lambda ids: ids * 0, paths) == (N, 0)
    none = HnswIndex.open(tmp_path / "none")
    assert none.stats().dim == D
    assert none.search(VECTORS[:1], 3).counts[0] == 0


def test_progress_counts_the_items_of_all_parts(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    paths = [tmp_path / f"part-{number}" for number in range(3)]
    split_index(
        whole(), by_three, paths, progress=lambda done, of: told.append((done, of))
    )
    assert told == sorted(told)
    assert told[-1] == (N, N)


@pytest.mark.parametrize("part", [-1, 2])
def test_an_id_of_no_part_is_refused_before_a_file_is_written(
    part: int, tmp_path: Path
) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(InvalidArgumentError, match="is of no part"):
        split_index(whole(), lambda ids: np.where(ids == 50, part, 0), paths)
    assert list(tmp_path.iterdir()) == []
