from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from stepwell.base.errors import DataLossError, InvalidArgumentError, NotFoundError
from stepwell.index.vector_file import read_id_rows, read_vectors

VECTORS = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
IDS = np.arange(21).reshape(7, 3)


def _with_lengths(rows: npt.NDArray[np.float32] | npt.NDArray[np.int32]) -> bytes:
    lengths = np.full((len(rows), 1), rows.shape[1], np.int32)
    return np.concatenate([lengths, rows.view(np.int32)], axis=1).tobytes()


def test_both_formats_give_the_same_vectors(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VECTORS)
    (tmp_path / "a.fvecs").write_bytes(_with_lengths(VECTORS))
    for name in ("a.npy", "a.fvecs"):
        read = read_vectors(tmp_path / name)
        assert read.dtype == np.float32
        assert read.tolist() == VECTORS.tolist()


def test_vectors_are_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VECTORS)
    (tmp_path / "a.fvecs").write_bytes(_with_lengths(VECTORS))
    for name in ("a.npy", "a.fvecs"):
        read = read_vectors(tmp_path / name)
        assert isinstance(read, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            read[0, 0] = 1


@pytest.mark.parametrize("dtype", ["<f2", "<f8", ">f4"])
def test_other_floats_are_converted(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", VECTORS.astype(dtype))
    read = read_vectors(tmp_path / "a.npy")
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, VECTORS, rtol=1e-3)


def test_columns_first_arrays_keep_their_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray(VECTORS))
    assert read_vectors(tmp_path / "a.npy").tolist() == VECTORS.tolist()


def test_no_rows_are_no_error(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VECTORS[:0])
    assert read_vectors(tmp_path / "a.npy").shape == (0, 5)


def test_both_formats_give_the_same_ids(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IDS)
    (tmp_path / "a.ivecs").write_bytes(_with_lengths(IDS.astype(np.int32)))
    for name in ("a.npy", "a.ivecs"):
        assert read_id_rows(tmp_path / name).tolist() == IDS.tolist()


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[{}]], dtype=object))
    with pytest.raises(DataLossError, match=r"not a whole \.npy file"):
        read_vectors(tmp_path / "a.npy")


def test_a_wrong_kind_of_file_is_refused_with_its_reason(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", IDS)
    np.save(tmp_path / "vectors.npy", VECTORS)
    np.save(tmp_path / "flat.npy", VECTORS.ravel())
    with pytest.raises(InvalidArgumentError, match="holds int64, must hold float32"):
        read_vectors(tmp_path / "ids.npy")
    with pytest.raises(InvalidArgumentError, match="holds float32, must hold int64"):
        read_id_rows(tmp_path / "vectors.npy")
    with pytest.raises(InvalidArgumentError, match=r"shape \(35,\)"):
        read_vectors(tmp_path / "flat.npy")
    with pytest.raises(InvalidArgumentError, match=r"must end in .npy or .fvecs"):
        read_vectors(tmp_path / "a.ivecs")
    with pytest.raises(NotFoundError, match="no such file"):
        read_vectors(tmp_path / "none.npy")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda good: b"", "not one row"),
        (lambda good: good[:-1], "not a whole number of rows"),
        (lambda good: b"\xff\xff\xff\xff" + good[4:], "length -1"),
        (lambda good: b"\0\0\0\x7f" + good[4:], "row 0 has length 2130706432"),
        (lambda good: good[:24] + b"\x04\0\0\0" + good[28:], "row 1 has length 4"),
    ],
)
def test_a_broken_fvecs_file_is_refused_with_its_reason(
    tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "a.fvecs"
    path.write_bytes(damage(_with_lengths(VECTORS)))
    with pytest.raises(DataLossError, match=message):
        read_vectors(path)


def test_a_cut_npy_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, VECTORS)
    good = path.read_bytes()
    for length in (0, 5, 60, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(DataLossError, match=r"not a whole \.npy"):
            read_vectors(path)
