"""The golden vectors of the row formats, for tests."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stepwell.ops.quantize_rows import ROW_FORMATS, RowFormat

# Not resolved: under Bazel the file lies in the runfiles of the test.
_FILE = Path(__file__).parents[3] / "tests/golden/row_formats.txt"


@dataclass(frozen=True, slots=True)
class GoldenRow:
    """One row: float32 [D] and the bytes, uint8, that stand for it."""

    row_format: RowFormat
    values: Tensor
    stored: Tensor


def golden_rows() -> list[GoldenRow]:
    """Returns the rows of tests/golden/row_formats.txt in their order."""
    rows = []
    for line in _FILE.read_text().splitlines():
        if line.startswith("#"):
            continue
        name, values, stored = line.split("; ")
        row_format = next(known for known in ROW_FORMATS if known == name)
        floats = [float.fromhex(value) for value in values.split()]
        numbers = list(bytes.fromhex(stored))
        rows.append(
            GoldenRow(
                row_format,
                torch.tensor(floats, dtype=torch.float32),
                torch.tensor(numbers, dtype=torch.uint8),
            )
        )
    return rows
