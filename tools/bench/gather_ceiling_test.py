"""The loops that a ceiling is measured by do the work they are the ceiling of."""

import pytest
import torch

from bench import gather_ceiling
from stepwell.ops.packed_tables import BYTE_OFFSET, PackedTables
from stepwell.ops.quantize_rows import RowFormat, row_bytes


def line_sums(
    tables: PackedTables, ids: torch.Tensor, bags: int, length: int
) -> torch.Tensor:
    """The first line of each bag's sum, [bags, T, 16], without the tail of a row."""
    size = row_bytes(tables.row_formats[0], tables.dims[0])
    sums = []
    for start, own in zip(
        tables.layout[:, BYTE_OFFSET].tolist(),
        ids.view(tables.num_tables, -1),
        strict=True,
    ):
        rows = tables.rows[start : start + 50 * size].view(50, size)
        lines = rows[own][:, :64].contiguous().view(torch.int32)
        sums.append(lines.view(bags, length, 16).sum(1, dtype=torch.int32))
    return torch.stack(sums, 1)


@pytest.mark.parametrize(
    ("row_format", "dim"),
    [("float32", 16), ("float32", 128), ("int8", 64), ("int8", 128), ("int4", 128)],
)
def test_a_gather_adds_up_every_entry_of_every_bag(
    row_format: RowFormat, dim: int
) -> None:
    bags, length = 7, 3
    tables = PackedTables.build([torch.randn(50, dim) for _ in range(2)], row_format)
    ids = torch.randint(50, (2 * bags * length,))
    expected = line_sums(tables, ids, bags, length)
    for gather in gather_ceiling.gathers(tables, [ids], length).values():
        found = gather(0)
        assert found.shape == (bags, 2, dim)
        # The tail of a quantised row is added to the first number only.
        assert torch.equal(found[..., 1:16], expected[..., 1:])
        if row_format == "float32":
            assert torch.equal(found[..., :16], expected)


def test_a_row_size_without_a_loop_is_an_error() -> None:
    tables = PackedTables.build([torch.randn(5, 17)], "float32")
    gather = gather_ceiling.gathers(tables, [torch.zeros(2, dtype=torch.int64)], 1)[8]
    with pytest.raises(ValueError, match="no gather loop for rows of 68 bytes"):
        gather(0)


def test_the_processor_multiplies_and_adds() -> None:
    speed = gather_ceiling.multiply_adds_per_us(torch.float32)
    assert speed is not None
    assert speed > 0
