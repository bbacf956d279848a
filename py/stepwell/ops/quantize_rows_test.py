"""quantize_rows and dequantize_rows: golden bytes, error bounds, errors, contracts."""

from collections.abc import Callable

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from stepwell.ops.quantize_rows import (
    ROW_FORMATS,
    RowFormat,
    dequantize_rows,
    quantize_rows,
    row_bytes,
)
from stepwell.ops.row_formats_golden import golden_rows


def test_writes_and_reads_the_golden_bytes() -> None:
    golden = golden_rows()
    assert {row.row_format for row in golden} == set(ROW_FORMATS)
    for row in golden:
        stored = quantize_rows(row.values[None], row.row_format)
        assert torch.equal(stored[0], row.stored), row
        again = quantize_rows(
            dequantize_rows(stored, len(row.values), row.row_format), row.row_format
        )
        if row.row_format not in ("int8", "int4"):
            assert torch.equal(again, stored)


def test_a_code_stands_for_scale_times_code_plus_bias() -> None:
    for row in golden_rows():
        if row.row_format not in ("int8", "int4"):
            continue
        dim = len(row.values)
        scale, bias = row.stored[:8].view(torch.float32)
        codes = row.stored[8:]
        if row.row_format == "int4":
            codes = torch.stack([codes & 15, codes >> 4], 1).flatten()
        expected = scale * codes[:dim].float() + bias
        got = dequantize_rows(row.stored[None], dim, row.row_format)
        assert torch.equal(got[0], expected)


@hypothesis.settings(max_examples=60)
@hypothesis.given(
    num_rows=st.integers(0, 5),
    dim=st.integers(1, 300),
    row_format=st.sampled_from(ROW_FORMATS),
    seed=st.integers(0, 2**31),
)
def test_the_error_is_at_most_half_a_step(
    num_rows: int, dim: int, row_format: RowFormat, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    rows = torch.randn(num_rows, dim, generator=random)
    stored = quantize_rows(rows, row_format)
    assert stored.shape == (num_rows, row_bytes(row_format, dim))
    error = (dequantize_rows(stored, dim, row_format) - rows).abs()
    span = rows.amax(1, keepdim=True) - rows.amin(1, keepdim=True)
    step = {
        "float32": torch.zeros_like(rows),
        "float16": rows.abs() / 1024 + 2e-7,
        "bfloat16": rows.abs() / 128,
        "int8": span / 255,
        "int4": span / 15,
    }[row_format]
    assert bool((error <= step / 2 + 1e-6 * (row_format[0] == "i")).all())


@pytest.mark.parametrize("row_format", ["int8", "int4"])
def test_equal_values_come_back_exactly(row_format: RowFormat) -> None:
    rows = torch.tensor([[0.1] * 5, [-7.3] * 5, [0.0] * 5])
    stored = quantize_rows(rows, row_format)
    assert torch.equal(dequantize_rows(stored, 5, row_format), rows)


def test_float_formats_round_as_torch_does() -> None:
    rows = torch.randn(50, 33) * torch.logspace(-8, 4, 50)[:, None]
    half = dequantize_rows(quantize_rows(rows, "float16"), 33, "float16")
    assert torch.equal(half, rows.half().float())
    brain = dequantize_rows(quantize_rows(rows, "bfloat16"), 33, "bfloat16")
    assert torch.equal(brain, rows.bfloat16().float())


def test_gives_the_same_bytes_with_one_thread_and_two() -> None:
    rows = torch.randn(5000, 64)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = quantize_rows(rows, "int8")
        torch.set_num_threads(2)
        assert torch.equal(quantize_rows(rows, "int8"), one)
    finally:
        torch.set_num_threads(before)


def test_keep_the_contracts_of_a_torch_operator() -> None:
    for row_format in ROW_FORMATS:
        rows = torch.randn(3, 9)
        torch.library.opcheck(
            torch.ops.stepwell.quantize_rows.default, (rows, row_format)
        )
        stored = quantize_rows(rows, row_format)
        torch.library.opcheck(
            torch.ops.stepwell.dequantize_rows.default, (stored, 9, row_format)
        )


def quantized(rows: Tensor, row_format: str = "int8") -> Callable[[], Tensor]:
    return lambda: quantize_rows(rows, row_format)  # type: ignore[arg-type]


def dequantized(rows: Tensor, dim: int, row_format: str) -> Callable[[], Tensor]:
    return lambda: dequantize_rows(rows, dim, row_format)  # type: ignore[arg-type]


BYTES = torch.zeros(2, 16, dtype=torch.uint8)
NAN = torch.tensor([[0.0, 1.0], [2.0, torch.nan]])
BAD_CALLS = {
    "a format of nobody": (
        quantized(torch.zeros(1, 1), "int5"),
        'quantize_rows: row_format must be .*, got "int5"',
    ),
    "float64 rows": (
        quantized(torch.zeros(1, 1).double()),
        "quantize_rows: rows must be float32, got float64",
    ),
    "flat rows": (
        quantized(torch.zeros(3)),
        "quantize_rows: rows must have 2 dimensions, got 1",
    ),
    "no columns": (
        quantized(torch.zeros(3, 0)),
        r"quantize_rows: the number of columns must be in \[1, 2\^32\], got 0",
    ),
    "strided rows": (
        quantized(torch.zeros(3, 4).T),
        "quantize_rows: rows must be contiguous",
    ),
    "not a number": (
        quantized(NAN),
        r"quantize_rows: rows\[1, 1\] is -?nan, must be finite in int8",
    ),
    "too large for float16": (
        quantized(torch.tensor([[1e6]]), "float16"),
        r"quantize_rows: rows\[0, 0\] is 1e\+06, must be finite in float16",
    ),
    "a row that spans too far": (
        quantized(torch.tensor([[-3e38, 0.0, 3e38]])),
        r"quantize_rows: rows\[0, 2\] is 3e\+38, .* at most 2\^127 above",
    ),
    "float bytes": (
        dequantized(BYTES.float(), 8, "int8"),
        "dequantize_rows: rows must be uint8, got float32",
    ),
    "another width": (
        dequantized(BYTES, 9, "int8"),
        "dequantize_rows: rows must have size 24 in dimension 1, got 16",
    ),
    "a negative width": (
        dequantized(BYTES, -1, "int8"),
        r"dequantize_rows: dim must be in \[1, 2\^32\], got -1",
    ),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_input_is_an_error_that_names_it(name: str) -> None:
    call, message = BAD_CALLS[name]
    with pytest.raises(RuntimeError, match=message):
        call()
