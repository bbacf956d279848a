"""FBGEMM's tables hold what they are said to hold, where it is installed."""

import pytest
import torch

from bench.ops_fbgemm import fbgemm_tables
from bench.ops_peers import installed

pytestmark = pytest.mark.skipif(
    not installed("fbgemm"), reason="fbgemm-gpu-cpu is not installed"
)
INDICES = torch.tensor([0, 1, 2, 3], dtype=torch.int32)
OFFSETS = torch.arange(5, dtype=torch.int32)


def test_float32_tables_hold_the_source() -> None:
    source = [torch.randn(10, 64) for _ in range(2)]
    found = fbgemm_tables([(10, 64)] * 2, "float32", source)(INDICES, OFFSETS)
    expected = torch.cat([source[0][:2], source[1][2:4]], 1)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("row_format", ["int8", "int4"])
def test_quantised_tables_are_written_row_by_row(row_format: str) -> None:
    tables = fbgemm_tables([(10, 64)] * 2, row_format, [])
    found = tables(INDICES, OFFSETS)
    assert found.isfinite().all()
    # Random codes: no two rows are alike, so none is a page that nobody wrote.
    first, second = found.tolist()
    assert first != second
    assert len(set(first + second)) > 8
