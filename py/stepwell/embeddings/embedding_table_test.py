import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from stepwell.base.errors import DataLossError, InvalidArgumentError
from stepwell.base.mapped_tensors import mapped_tensors
from stepwell.embeddings.embedding_table import EmbeddingTable

KEYS = np.array([30, 10, 20], np.uint64)
ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    EmbeddingTable.of_unsorted(KEYS, ROWS).save(tmp_path / "table.safetensors")
    return tmp_path / "table.safetensors"


def test_finds_rows_by_key_in_the_order_asked(path: Path) -> None:
    table = EmbeddingTable.load(path)
    found, rows = table.find(np.array([20, 5, 30, 99, 20], np.uint64))
    assert found.tolist() == [True, False, True, False, True]
    assert rows.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert (len(table), table.dim) == (3, 2)


def test_an_empty_table_has_no_row(tmp_path: Path) -> None:
    empty = EmbeddingTable(np.zeros(0, np.uint64), np.zeros((0, 4), np.float32))
    empty.save(tmp_path / "t")
    found, rows = EmbeddingTable.load(tmp_path / "t").find(KEYS)
    assert not found.any()
    assert rows.shape == (0, 4)


def test_mapped_tensors_are_what_the_library_reads(tmp_path: Path) -> None:
    tensors: dict[str, np.ndarray] = {
        "a": np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32),
        "b": np.arange(5, dtype=np.int64),
        "c": np.arange(3, dtype=np.uint64),
    }
    save_file(tensors, tmp_path / "t", {"note": "x"})
    mapped = mapped_tensors(tmp_path / "t")
    for name, tensor in load_file(tmp_path / "t").items():
        assert mapped[name].dtype == tensor.dtype
        np.testing.assert_array_equal(mapped[name], tensor)
        assert not mapped[name].flags.writeable


@pytest.mark.parametrize(
    ("keys", "rows"),
    [
        (KEYS, ROWS),  # not ascending
        (np.array([1, 1, 2], np.uint64), ROWS),
        (np.array([1, 2], np.uint64), ROWS),
        (np.array([1, 2, 3], np.uint64), np.zeros(3, np.float32)),
        (np.array([1, 2, 3], np.uint64), np.zeros((3, 0), np.float32)),
    ],
)
def test_rows_that_do_not_fit_their_keys_are_refused(
    keys: np.ndarray, rows: np.ndarray
) -> None:
    with pytest.raises(InvalidArgumentError):
        EmbeddingTable(keys, rows)


def header(**fields: object) -> bytes:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | fields
    text = json.dumps({"rows": entry}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        b"\xff" * 8,
        (2**63).to_bytes(8, "little") + b"{}",
        (5).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (3).to_bytes(8, "little") + b"\x80\x04.",
        header(dtype="F64"),
        header(shape=[3]),
        header(shape=[-2]),
        header(shape=[2**62, 4]),
        header(data_offsets=[0, 16]),
        header(data_offsets=[8, 0]),
        header(data_offsets=[-8, 0]),
        header(data_offsets=[0]),
        header(shape="x"),
    ],
)
def test_a_damaged_file_is_refused_before_anything_is_mapped(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(DataLossError, match=str(tmp_path)):
        mapped_tensors(tmp_path / "t")


def test_a_file_of_other_tensors_is_no_table(tmp_path: Path, path: Path) -> None:
    save_file({"keys": KEYS}, tmp_path / "no-rows")
    save_file({"keys": KEYS.astype(np.int64), "rows": ROWS}, tmp_path / "signed")
    save_file({"keys": KEYS, "rows": ROWS}, tmp_path / "unsorted")
    for name in ("no-rows", "signed", "unsorted"):
        with pytest.raises(DataLossError, match=name):
            EmbeddingTable.load(tmp_path / name)
