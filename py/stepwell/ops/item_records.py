"""What the full ranker knows of each item before any request names it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import InvalidArgumentError
from stepwell.ops.bfloat16 import to_bfloat16
from stepwell.ops.huge_pages import huge_page_array
from stepwell.ops.ranker_plan import ALIGNMENT, PANEL

FloatArray = npt.NDArray[np.float32]
RowArray = npt.NDArray[np.integer]

GROUP = 16
"""Vectors of an item lie in groups of this many."""
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

    pair_weight: FloatArray
    bias: FloatArray


def build_item_records(
    tables: Sequence[FloatArray], rows: RowArray, sums: ItemSums, shape: RecordShape
) -> npt.NDArray[np.uint8]:
    """Returns uint8 [N * record_bytes]: each item's vectors and sums, in bfloat16.

    Args:
        tables: I arrays float32 [rows, D].
        rows: int [N, I], each item's row of each table.
    Raises:
        InvalidArgumentError: a row is out of its table's range.
    Cost: N * I^2 / 2 * (D + out) multiply-adds, and the result besides some 100 MB.
    """
    _check(tables, rows)
    records = huge_page_array(len(rows) * shape.record_bytes)
    lines = records.view(np.uint16).reshape(len(rows), shape.record_bytes // 2)
    first_sum = shape.vector_bytes // 2
    one, other = np.tril_indices(len(tables), -1)
    for first in range(0, len(rows), _ITEMS_A_STEP):
        step = slice(first, first + _ITEMS_A_STEP)
        vectors = _vectors(tables, rows[step], shape)
        pairs: FloatArray = vectors @ vectors.transpose(0, 2, 1)
        dots = pairs[:, one, other]
        total = dots @ sums.pair_weight.T + sums.bias
        lines[step, :first_sum] = _in_groups(to_bfloat16(vectors), shape)
        lines[step, first_sum : first_sum + shape.num_outputs] = to_bfloat16(total)
    return records


def _check(tables: Sequence[FloatArray], rows: RowArray) -> None:
    for number, table in enumerate(tables):
        column = rows[:, number]
        if len(column) and not 0 <= int(column.min()) <= int(column.max()) < len(table):
            raise InvalidArgumentError(
                f"rows of item table {number} go from {int(column.min())} to "
                f"{int(column.max())}, must be in [0, {len(table) - 1}]",
                "rows",
            )


def _vectors(
    tables: Sequence[FloatArray], rows: RowArray, shape: RecordShape
) -> FloatArray:
    """float32 [n, I, D]."""
    found = np.empty((len(rows), len(tables), shape.dim), np.float32)
    for number, table in enumerate(tables):
        found[:, number] = table[rows[:, number]]
    return found


def _in_groups(
    vectors: npt.NDArray[np.uint16], shape: RecordShape
) -> npt.NDArray[np.uint16]:
    """[n, groups * ceil(D / 2) * GROUP * 2] of [n, I, D]."""
    num_pairs = -(-shape.dim // 2)
    padded = np.zeros(
        (len(vectors), shape.num_groups * GROUP, num_pairs * 2), np.uint16
    )
    padded[:, : shape.num_vectors, : shape.dim] = vectors
    # Two elements of a vector move together.
    pairs = padded.view(np.uint32).reshape(
        len(vectors), shape.num_groups, GROUP, num_pairs
    )
    laid = np.ascontiguousarray(pairs.transpose(0, 1, 3, 2))
    return laid.reshape(len(vectors), -1).view(np.uint16)
