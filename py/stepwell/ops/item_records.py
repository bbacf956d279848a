"""What the full ranker knows of each item before any request names it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stepwell.base.errors import InvalidArgumentError
from stepwell.ops.huge_pages import huge_page_bytes
from stepwell.ops.rank_candidates import ALIGNMENT, GROUP, PANEL

_ITEMS_A_STEP = 4_096
"""Bounds what building holds besides the records."""


@dataclass(frozen=True, slots=True)
class RecordShape:
    """The bytes of one item's record.

    Attributes:
        num_vectors: categories of an item that have a table.
        dim: D of the tables.
        num_outputs: of the first layer above the interaction.
    """

    num_vectors: int
    dim: int
    num_outputs: int

    @property
    def num_groups(self) -> int:
        """Groups of vectors that lie side by side."""
        return -(-self.num_vectors // GROUP)

    @property
    def vector_bytes(self) -> int:
        """Bytes of the vectors, before the sums."""
        return self.num_groups * -(-self.dim // 2) * GROUP * 4

    @property
    def record_bytes(self) -> int:
        """Bytes from one record to the next."""
        size = self.vector_bytes + -(-self.num_outputs // PANEL) * PANEL * 2
        return size + -size % ALIGNMENT


@dataclass(frozen=True, slots=True)
class ItemSums:
    """The part of the first layer above the interaction that an item fixes.

    Attributes:
        pair_weight: float32 [out, I * (I - 1) / 2], of the dots of the pairs of its
            own vectors, (1,0) (2,0) (2,1) (3,0) ...
        bias: float32 [out].
    """

    pair_weight: Tensor
    bias: Tensor


def build_item_records(
    tables: Sequence[Tensor], rows: Tensor, sums: ItemSums, shape: RecordShape
) -> Tensor:
    """Returns uint8 [N * record_bytes]: each item's vectors and sums, in bfloat16.

    Args:
        tables: I tensors float32 [rows, D].
        rows: int64 [N, I], each item's row of each table.
    Raises:
        InvalidArgumentError: a row is out of its table's range.
    Cost: N * I^2 / 2 * (D + out) multiply-adds, and the result besides some 100 MB.
    """
    _check(tables, rows)
    records = huge_page_bytes(len(rows) * shape.record_bytes)
    lines = records.view(len(rows), shape.record_bytes)
    lower = torch.tril_indices(len(tables), len(tables), -1)
    for first in range(0, len(rows), _ITEMS_A_STEP):
        step = slice(first, first + _ITEMS_A_STEP)
        vectors = _vectors(tables, rows[step], shape)
        dots = torch.bmm(vectors, vectors.transpose(1, 2))[:, lower[0], lower[1]]
        total = torch.addmm(sums.bias, dots, sums.pair_weight.T).bfloat16()
        laid = _in_groups(vectors, shape).view(torch.uint8)
        lines[step, : shape.vector_bytes] = laid
        end = shape.vector_bytes + 2 * shape.num_outputs
        lines[step, shape.vector_bytes : end] = total.view(torch.uint8)
    return records


def _check(tables: Sequence[Tensor], rows: Tensor) -> None:
    for number, table in enumerate(tables):
        column = rows[:, number]
        if len(column) and not 0 <= int(column.min()) <= int(column.max()) < len(table):
            raise InvalidArgumentError(
                f"rows of item table {number} go from {int(column.min())} to "
                f"{int(column.max())}, must be in [0, {len(table) - 1}]",
                "rows",
            )


def _vectors(tables: Sequence[Tensor], rows: Tensor, shape: RecordShape) -> Tensor:
    """float32 [n, I, D]."""
    if not tables:
        return torch.zeros(len(rows), 0, shape.dim)
    found = [table[rows[:, number]] for number, table in enumerate(tables)]
    return torch.stack(found, 1)


def _in_groups(vectors: Tensor, shape: RecordShape) -> Tensor:
    """bfloat16 [n, groups * ceil(D / 2) * GROUP * 2] of float32 [n, I, D]."""
    missing = shape.num_groups * GROUP - shape.num_vectors
    padded = torch.nn.functional.pad(
        vectors.bfloat16(), (0, -shape.dim % 2, 0, missing)
    )
    pairs = padded.view(len(vectors), shape.num_groups, GROUP, -(-shape.dim // 2), 2)
    return pairs.transpose(2, 3).reshape(len(vectors), -1)
