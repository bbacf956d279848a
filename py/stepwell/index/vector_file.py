"""Reads files of vectors and of ids: .npy, .fvecs and .ivecs.

Letters: N rows, D dimension, K ids of a row.

.fvecs and .ivecs are the formats of the TEXMEX corpus: each row is its length as an
int32, then as many float32 or int32, all little-endian.
Source: Jégou et al., http://corpus-texmex.irisa.fr (the format's description).
"""

import os
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import DataLossError, InvalidArgumentError, NotFoundError

MAX_ROW_LENGTH = 1 << 20
"""Longest row of an .fvecs or .ivecs file: more means that it is no such file."""


def read_vectors(path: str | PathLike[str]) -> npt.NDArray[np.float32]:
    """Returns the vectors of a .npy or .fvecs file, float32 [N, D].

    The rows are mapped, read-only: only what is looked at is read, and processes share
    it. A .npy of float16 or float64 is converted whole instead.

    Raises:
        NotFoundError: there is no such file.
        InvalidArgumentError: another suffix, dtype or number of dimensions.
        DataLossError: the bytes are not those of such a file, or cut off.
    """
    if _suffix(path, (".npy", ".fvecs")) == ".fvecs":
        return _rows_of_lengths(Path(path), np.dtype("<f4"))
    array = _mapped_npy(Path(path), "f", "float32")
    return array if array.dtype == np.float32 else array.astype(np.float32)


def read_id_rows(path: str | PathLike[str]) -> npt.NDArray[np.integer[Any]]:
    """Returns the ids of a .npy or .ivecs file, integers [N, K], mapped read-only.

    Raises: as `read_vectors`.
    """
    if _suffix(path, (".npy", ".ivecs")) == ".ivecs":
        return _rows_of_lengths(Path(path), np.dtype("<i4"))
    return _mapped_npy(Path(path), "iu", "int64")


def _suffix(path: str | PathLike[str], known: tuple[str, ...]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in known:
        raise InvalidArgumentError(
            f"{path} ends in {suffix!r}, must end in {' or '.join(known)}", "path"
        )
    if not os.path.isfile(path):
        raise NotFoundError(f"{path}: there is no such file")
    return suffix


def _mapped_npy(path: Path, kinds: str, wanted: str) -> npt.NDArray[Any]:
    """A mapped array of two dimensions. Its header is data, never code."""
    try:
        array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise DataLossError(f"{path} is not a whole .npy file: {error}") from error
    if array.dtype.kind not in kinds:
        raise InvalidArgumentError(
            f"{path} holds {array.dtype}, must hold {wanted}", "path"
        )
    if array.ndim != 2:
        raise InvalidArgumentError(
            f"{path} has shape {array.shape}, must have two dimensions", "path"
        )
    return array


def _rows_of_lengths(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Rows that each begin with their length: all must have the first one's."""
    size = path.stat().st_size
    if size < 4:
        raise DataLossError(f"{path} has {size} bytes: not one row")
    words = np.memmap(path, "<i4", mode="r", shape=(size // 4,))
    length = int(words[0])
    if not 1 <= length <= MAX_ROW_LENGTH:
        raise DataLossError(
            f"{path}: row 0 has length {length}, must be in [1, {MAX_ROW_LENGTH}]"
        )
    if size % (4 * (length + 1)):
        raise DataLossError(
            f"{path} has {size} bytes: not a whole number of rows of length {length}"
        )
    rows = words.reshape(-1, length + 1)
    other = np.flatnonzero(rows[:, 0] != length)
    if len(other):
        row = int(other[0])
        raise DataLossError(
            f"{path}: row {row} has length {rows[row, 0]}, row 0 has {length}"
        )
    return rows.view(dtype)[:, 1:]
