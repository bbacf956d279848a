"""The vocabulary: ids, keys and rows agree, and survive a file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from stepwell.base.errors import DataLossError, InvalidArgumentError
from stepwell.schema.vocabulary import Vocabulary, entity_key


@settings(max_examples=50)
@given(st.lists(st.text(max_size=12), unique=True))
def test_every_id_maps_to_its_position_and_back(ids: list[str]) -> None:
    vocabulary = Vocabulary.build(ids)
    assert vocabulary.rows_of_ids(ids).tolist() == list(range(len(ids)))
    assert vocabulary.ids_of_rows(range(len(ids))) == ids


def test_unknown_ids_map_to_minus_one() -> None:
    assert Vocabulary.build(["a"]).rows_of_ids(["b", "a"]).tolist() == [-1, 0]
    assert Vocabulary.build([]).rows_of_ids(["b"]).tolist() == [-1]


def test_key_of_an_id_never_changes() -> None:
    assert entity_key("household-1") == 1_864_187_176_664_739_303


def test_refuses_a_repeated_id() -> None:
    with pytest.raises(InvalidArgumentError):
        Vocabulary.build(["a", "a"])


def test_refuses_a_row_outside_the_vocabulary() -> None:
    with pytest.raises(InvalidArgumentError, match=r"row is 1, must be in \[0, 1\)"):
        Vocabulary.build(["a"]).id_of_row(1)


def test_survives_a_file(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.safetensors"
    Vocabulary.build(["x", "é", ""]).save(path)
    assert Vocabulary.load(path).ids_of_rows([2, 1, 0]) == ["", "é", "x"]


def test_refuses_offsets_that_do_not_tile_the_ids(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.safetensors"
    Vocabulary.build(["x", "y"]).save(path)
    tensors = load_file(path)
    tensors["offsets"] = np.array([0, 1, 9], np.int64)
    save_file(tensors, path)
    with pytest.raises(DataLossError, match="do not tile"):
        Vocabulary.load(path)


def test_an_extended_vocabulary_keeps_its_rows_and_adds_the_new_ids_behind() -> None:
    before = Vocabulary.build(["milk", "größe"])
    after = before.extended(["tea", "coffee"])
    assert after.ids_of_rows(range(4)) == ["milk", "größe", "tea", "coffee"]
    assert after.rows_of_ids(["coffee", "milk", "rum"]).tolist() == [3, 0, -1]
    assert len(before) == 2
    assert before.extended([]).ids_of_rows(range(2)) == ["milk", "größe"]
    with pytest.raises(InvalidArgumentError, match="share a key"):
        before.extended(["milk"])
