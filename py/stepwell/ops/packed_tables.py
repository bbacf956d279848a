"""All embedding tables of a served model in one storage, of any row format."""

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from stepwell.ops import library
from stepwell.ops.embedding_bag_tables import Pooling
from stepwell.ops.huge_pages import huge_page_bytes
from stepwell.ops.quantize_rows import (
    ROW_FORMATS,
    RowFormat,
    dequantize_rows,
    quantize_rows,
    row_bytes,
)

library.load()

# Columns of a layout.
BYTE_OFFSET, NUM_ROWS, DIM, ROW_FORMAT, DEFAULT_ROW = range(5)
NUM_LAYOUT_COLUMNS = 5

_TABLE_ALIGNMENT = 64  # a cache line
_ROWS_A_STEP = 1 << 16  # bounds what `build` holds besides the result
_OUTPUT_DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
_OP = "stepwell::embedding_bag_packed"
_lookup = torch.ops.stepwell.embedding_bag_packed.default


class PackedTables(nn.Module):
    """T embedding tables for serving, end to end in one uint8 storage.

    One storage can lie in huge pages or in a mapped file, and a call passes two tensors
    whatever T is. The tables are read only; they have no gradient.

    Attributes:
        rows: uint8 [bytes], the storage.
        layout: int64 [T, 5], on the CPU always: of each table the byte offset in the
            storage, the number of rows, the columns, the row format (its place in
            ROW_FORMATS) and the default row (-1: zeros).
    Concurrency: safe; nothing changes after construction.
    """

    rows: Tensor
    layout: Tensor

    def __init__(self, rows: Tensor, layout: Tensor) -> None:
        """Takes a storage and its layout as they are.

        Args:
            rows: uint8 [bytes], contiguous.
            layout: int64 [T, 5]. Every call checks it against the storage.
        Raises:
            ValueError: layout has another shape or dtype, or names no known format.
        """
        super().__init__()
        if layout.dtype != torch.int64 or layout.shape[1:] != (NUM_LAYOUT_COLUMNS,):
            raise ValueError(
                f"layout must be int64 [T, {NUM_LAYOUT_COLUMNS}], got "
                f"{layout.dtype} {list(layout.shape)}"
            )
        entries = layout.tolist()
        for table, entry in enumerate(entries):
            if not 0 <= entry[ROW_FORMAT] < len(ROW_FORMATS):
                raise ValueError(
                    f"layout[{table}] has row_format {entry[ROW_FORMAT]}, "
                    f"must be in [0, {len(ROW_FORMATS) - 1}]"
                )
        self.register_buffer("rows", rows)
        self.register_buffer("layout", layout.cpu().contiguous())
        self.dims: tuple[int, ...] = tuple(entry[DIM] for entry in entries)
        self.row_formats: tuple[RowFormat, ...] = tuple(
            ROW_FORMATS[entry[ROW_FORMAT]] for entry in entries
        )
        self._width = sum(self.dims)

    @classmethod
    def build(
        cls,
        tables: Sequence[Tensor],
        row_format: RowFormat | Sequence[RowFormat],
        default_rows: Sequence[int] | None = None,
    ) -> Self:
        """Copies tables into huge pages, in a row format for all or one for each.

        Args:
            tables: T >= 1 tensors, float [N_t, D_t], finite.
            row_format: one of ROW_FORMATS, or T of them.
            default_rows: T numbers, each the row that an index of -1 names in its
                table, -1 for a row of zeros; all zeros when None.
        Raises:
            ValueError: lengths differ, or a table is not [N, D], or a value does not
                fit the format; names the table.
        Cost: one pass over the tables; holds the result and 65,536 rows besides.
        """
        num_tables = len(tables)
        formats = _one_each(row_format, num_tables)
        defaults = [-1] * num_tables if default_rows is None else list(default_rows)
        if len(formats) != num_tables or len(defaults) != num_tables:
            raise ValueError(
                f"{num_tables} tables, got {len(formats)} row formats and "
                f"{len(defaults)} default rows"
            )
        layout = _layout_of(tables, formats, defaults)
        ends = [
            entry[BYTE_OFFSET] + entry[NUM_ROWS] * row_bytes(name, entry[DIM])
            for entry, name in zip(layout.tolist(), formats, strict=True)
        ]
        rows = huge_page_bytes(max(ends, default=0))
        for number, table in enumerate(tables):
            start = int(layout[number, BYTE_OFFSET])
            _write(number, table, formats[number], rows[start : ends[number]])
        return cls(rows, layout)

    @property
    def num_tables(self) -> int:
        """T."""
        return len(self.dims)

    @property
    def nbytes(self) -> int:
        """Bytes of the storage."""
        return self.rows.numel()

    def forward(
        self,
        indices: Tensor,
        offsets: Tensor,
        per_sample_weights: Tensor | None = None,
        pooling: Pooling = "sum",
        output_dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Looks up jagged bags in all tables: `embedding_bag_tables` on packed rows.

        Bags, -1, pooling and errors are as described there. Rows are added up in
        float32, whatever their format.

        Args:
            indices: int32 or int64 [L], each in [-1, N_t - 1], table-major.
            offsets: dtype of indices, [T * B + 1], from 0 to L, never falling.
            per_sample_weights: float32 [L], each entry's factor; all ones when None.
            pooling: "sum", "mean" or "none".
            output_dtype: torch.float32 or torch.bfloat16.
        Returns:
            output_dtype [B, D_0 + ... + D_{T-1}]; for "none", when all D_t are one D,
            [L, D].
        Raises:
            ValueError: another output_dtype.
            RuntimeError: as embedding_bag_tables; also a layout that does not fit the
                storage, found before anything is read.
        Gradients: none.
        Determinism: the same bits whatever the number of threads.
        Concurrency: safe; releases the GIL. Uses torch's threads only when a call
            gathers more than some 256 KiB of rows.
        Cost: one read of each row named; about 6 us a call besides.
        """
        dtype = _OUTPUT_DTYPES.get(output_dtype)
        if dtype is None:
            raise ValueError(
                f"output_dtype must be float32 or bfloat16, got {output_dtype}"
            )
        width = self.dims[0] if pooling == "none" else self._width
        out: Tensor = _lookup(
            self.rows,
            self.layout,
            indices,
            offsets,
            per_sample_weights,
            width,
            pooling,
            dtype,
        )
        return out

    def values(self, table: int) -> Tensor:
        """Returns one table as float32 [N_t, D_t], a copy; for tests and tools."""
        start, num_rows, dim, _, _ = self.layout[table].tolist()
        size = row_bytes(self.row_formats[table], dim)
        stored = self.rows[start : start + num_rows * size].view(num_rows, size)
        return dequantize_rows(stored, dim, self.row_formats[table])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Moving the module moves the storage only: the layout is read on the CPU.
        layout = self.layout
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.layout = layout
        return self


def _one_each(
    row_format: RowFormat | Sequence[RowFormat], num_tables: int
) -> list[RowFormat]:
    if isinstance(row_format, str):
        return [row_format] * num_tables
    return list(row_format)


def _layout_of(
    tables: Sequence[Tensor], formats: Sequence[RowFormat], defaults: Sequence[int]
) -> Tensor:
    entries = []
    offset = 0
    for number, table in enumerate(tables):
        if table.dim() != 2 or table.shape[1] < 1:
            raise ValueError(
                f"tables[{number}] must be [N, D], D >= 1, got {list(table.shape)}"
            )
        if formats[number] not in ROW_FORMATS:
            raise ValueError(
                f"row_format[{number}] must be one of {', '.join(ROW_FORMATS)}, "
                f"got {formats[number]!r}"
            )
        num_rows, dim = table.shape
        if not -1 <= defaults[number] < num_rows:
            raise ValueError(
                f"default_rows[{number}] is {defaults[number]}, "
                f"must be in [-1, {num_rows - 1}]"
            )
        place = ROW_FORMATS.index(formats[number])
        entries.append([offset, num_rows, dim, place, defaults[number]])
        offset += num_rows * row_bytes(formats[number], dim)
        offset += -offset % _TABLE_ALIGNMENT
    return torch.tensor(entries, dtype=torch.int64).view(-1, NUM_LAYOUT_COLUMNS)


def _write(number: int, table: Tensor, row_format: RowFormat, stored: Tensor) -> None:
    num_rows, dim = table.shape
    stored = stored.view(num_rows, row_bytes(row_format, dim))
    for start in range(0, num_rows, _ROWS_A_STEP):
        step = table[start : start + _ROWS_A_STEP].detach().float().contiguous()
        try:
            stored[start : start + _ROWS_A_STEP] = quantize_rows(step, row_format)
        except RuntimeError as error:
            raise ValueError(
                f"tables[{number}], rows from {start} on: {error}"
            ) from error


def _fake(
    rows: Tensor,
    layout: Tensor,
    indices: Tensor,
    offsets: Tensor,
    per_sample_weights: Tensor | None,
    output_dim: int,
    pooling: str,
    output_dtype: str,
) -> Tensor:
    batch = (offsets.shape[0] - 1) // layout.shape[0]
    num_rows = indices.shape[0] if pooling == "none" else batch
    dtype = torch.bfloat16 if output_dtype == "bfloat16" else torch.float32
    return rows.new_empty((num_rows, output_dim), dtype=dtype)


_RANKS = {
    "rows": 1,
    "layout": 2,
    "indices": 1,
    "offsets": 1,
    "per_sample_weights": 1,
}
library.register_fake(_OP, _fake, _RANKS, host=("layout",))
