"""Tensors of a safetensors file, mapped: a page is read when a row of it is.

`safetensors` reads a numpy tensor into memory as a whole; a table may be larger than
that, and each process of a machine would have its own. The format:
https://github.com/huggingface/safetensors#format (header size uint64 little-endian,
JSON header, data; offsets count from the data's begin).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import DataLossError

MAX_HEADER_BYTES = 1 << 20
_DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "U8": np.dtype("<u1"),
    "U64": np.dtype("<u8"),
}


def mapped_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Returns read-only views of the file's tensors by name.

    Raises:
        DataLossError: the header is damaged, or a tensor does not fit the file. Checked
            against the file's size before anything is mapped or allocated.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if size < 8 or header_bytes > min(MAX_HEADER_BYTES, size - 8):
            raise DataLossError(
                f"{path}: a header of {header_bytes} bytes does not fit"
            )
        header = file.read(header_bytes)
    try:
        described: dict[str, Any] = json.loads(header)
        described.pop("__metadata__", None)
        begin = 8 + header_bytes
        return {
            name: _mapped(path, fields, begin, size)
            for name, fields in described.items()
        }
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise DataLossError(f"{path}: damaged header: {error!r}") from error


def _mapped(
    path: Path, fields: dict[str, Any], begin: int, file_size: int
) -> npt.NDArray[Any]:
    dtype = _DTYPES[fields["dtype"]]
    shape = tuple(int(length) for length in fields["shape"])
    start, end = (int(offset) for offset in fields["data_offsets"])
    count = 1
    for length in shape:
        if length < 0:
            raise ValueError(f"shape {shape}")
        count *= length
    if (
        not 0 <= start <= end <= file_size - begin
        or end - start != count * dtype.itemsize
    ):
        raise ValueError(f"data {start}..{end} of shape {shape} does not fit")
    if count == 0:
        return np.zeros(shape, dtype)
    mapped = np.memmap(path, np.uint8, "r", begin + start, (end - start,))
    values: npt.NDArray[Any] = np.asarray(mapped).view(dtype)
    return values.reshape(shape)
