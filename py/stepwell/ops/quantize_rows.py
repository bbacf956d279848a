"""Rows of embedding tables in fewer bytes: the formats, and the ways there and back."""

from typing import Literal, get_args

import torch
from torch import Tensor

from stepwell.ops import library

library.load()

RowFormat = Literal["float32", "float16", "bfloat16", "int8", "int4"]
# In the order of the numbers that layouts and files hold.
ROW_FORMATS: tuple[RowFormat, ...] = get_args(RowFormat)

_HEADER_BYTES = 8  # scale and bias
_QUANTISED_ALIGNMENT = 8


def row_bytes(row_format: RowFormat, dim: int) -> int:
    """Returns the bytes of one row of `dim` columns, padding included."""
    if row_format == "float32":
        return 4 * dim
    if row_format in ("float16", "bfloat16"):
        return 2 * dim
    codes = dim if row_format == "int8" else (dim + 1) // 2
    unpadded = _HEADER_BYTES + codes
    return unpadded + -unpadded % _QUANTISED_ALIGNMENT


def quantize_rows(rows: Tensor, row_format: RowFormat) -> Tensor:
    """Returns the rows of a table in a row format, as bytes.

    int8 and int4 map each row linearly onto codes 0 to L, L = 255 or 15: bias is the
    row's smallest value, scale the row's span over L, and a code stands for
    scale * code + bias. So the error is at most half a scale, and a row of equal values
    has none. docs/row_formats.md has every byte.

    Args:
        rows: float32 [N, D], contiguous, finite; 1 <= D <= 2**32, N >= 0.
        row_format: one of ROW_FORMATS.
    Returns:
        uint8 [N, row_bytes(row_format, D)].
    Raises:
        RuntimeError: wrong rank, dtype or layout, an unknown format, or a value that is
            not finite in the format or, for int8 and int4, more than 2**127 above
            the smallest of its row; names the first such row and column.
    Gradients: none.
    Determinism: the same bytes on every machine and for any number of threads.
    Concurrency: safe; releases the GIL and uses torch's threads for large tables.
    Cost: two reads of the rows; some 1 ns a value for int8 and int4.
    Source: the row-wise min-max quantisation of Guan et al., arXiv:1911.02079,
        section 3 ("asymmetric"). Differences: the bias is stored as it is, in float32.
    """
    out: Tensor = torch.ops.stepwell.quantize_rows(rows, row_format)
    return out


def dequantize_rows(rows: Tensor, dim: int, row_format: RowFormat) -> Tensor:
    """Returns the values that bytes of a row format stand for.

    Args:
        rows: uint8 [N, row_bytes(row_format, dim)], contiguous, any alignment.
        dim: D, columns of a row.
        row_format: one of ROW_FORMATS.
    Returns:
        float32 [N, D].
    Raises:
        RuntimeError: wrong rank, dtype, layout or row size, or an unknown format.
    Gradients: none.
    Concurrency: safe; releases the GIL and uses torch's threads for large tables.
    Cost: one read of the rows.
    """
    out: Tensor = torch.ops.stepwell.dequantize_rows(rows, dim, row_format)
    return out


def _fake_quantize(rows: Tensor, row_format: RowFormat) -> Tensor:
    size = (rows.shape[0], row_bytes(row_format, rows.shape[1]))
    return rows.new_empty(size, dtype=torch.uint8)


def _fake_dequantize(rows: Tensor, dim: int, row_format: str) -> Tensor:
    return rows.new_empty((rows.shape[0], dim), dtype=torch.float32)


library.register_fake("stepwell::quantize_rows", _fake_quantize, {"rows": 2})
library.register_fake("stepwell::dequantize_rows", _fake_dequantize, {"rows": 2})
