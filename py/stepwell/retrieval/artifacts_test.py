"""Retrieval's files: what is written is read, what is broken is refused."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from stepwell.base.errors import DataLossError, FailedPreconditionError
from stepwell.index.ann_index import AnnIndex
from stepwell.retrieval.artifacts import (
    CO_OCCURRENCE_FILE,
    INDEX_FILE,
    POPULAR_FILE,
    RETRIEVAL_FILES,
    USER_TOWER_FILE,
    RetrievalArtifacts,
)
from stepwell.retrieval.co_occurrence_model import CoOccurrenceModel
from stepwell.retrieval.conftest import World, make_artifacts
from stepwell.retrieval.popular_lists import PopularLists


def test_loaded_artifacts_answer_as_the_saved_ones(
    world: World, tmp_path: Path
) -> None:
    world.artifacts.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(RETRIEVAL_FILES)
    loaded = RetrievalArtifacts.load(tmp_path)
    assert loaded.space_hash == world.artifacts.space_hash
    query, user = world.query(), world.user((3, 8, 60))
    pairs = zip(world.artifacts.stage().sources, loaded.stage().sources, strict=True)
    for before, after in pairs:
        request = world.request(30)
        want = before.retrieve(query, user, request)
        got = after.retrieve(query, user, request)
        assert got.rows.tolist() == want.rows.tolist()
        np.testing.assert_array_equal(got.scores, want.scores)


def test_a_tower_and_an_index_of_different_spaces_refuse(tmp_path: Path) -> None:
    make_artifacts(seed=3).save(tmp_path)
    make_artifacts(seed=4).index.save(tmp_path / INDEX_FILE)
    with pytest.raises(FailedPreconditionError):
        RetrievalArtifacts.load(tmp_path)


def test_an_index_of_elsewhere_takes_the_place_of_the_file(tmp_path: Path) -> None:
    artifacts = make_artifacts()
    artifacts.save(tmp_path)
    (tmp_path / INDEX_FILE).unlink()
    asked: list[bytes] = []

    def open_index(space_hash: bytes) -> AnnIndex:
        asked.append(space_hash)
        return artifacts.index

    loaded = RetrievalArtifacts.load(tmp_path, open_index)
    assert loaded.index is artifacts.index
    assert asked == [artifacts.space_hash]


@pytest.mark.parametrize("file", [USER_TOWER_FILE, CO_OCCURRENCE_FILE, POPULAR_FILE])
def test_a_file_that_lacks_a_tensor_is_refused(tmp_path: Path, file: str) -> None:
    make_artifacts().save(tmp_path)
    tensors = load_file(tmp_path / file)
    tensors.pop(min(tensors))
    save_file(tensors, tmp_path / file)
    with pytest.raises(DataLossError):
        RetrievalArtifacts.load(tmp_path)


def test_a_neighbour_outside_the_catalogue_is_refused(tmp_path: Path) -> None:
    model = make_artifacts().co_occurrence
    model.neighbour_rows[0, 0] = model.num_items
    model.save(tmp_path / CO_OCCURRENCE_FILE)
    with pytest.raises(DataLossError, match="neighbour"):
        CoOccurrenceModel.load(tmp_path / CO_OCCURRENCE_FILE)


def test_segment_names_survive_the_file(world: World, tmp_path: Path) -> None:
    world.artifacts.popular.save(tmp_path / POPULAR_FILE)
    loaded = PopularLists.load(tmp_path / POPULAR_FILE)
    assert loaded.segment_names == ("", "north")
    assert loaded.segment_row("north") == 1
