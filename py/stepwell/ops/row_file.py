"""Embedding tables in a file that any number of processes map and share."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import torch
from torch import Tensor

from stepwell.base.errors import FailedPreconditionError, InvalidArgumentError
from stepwell.base.native import native_module
from stepwell.ops.packed_tables import PackedTables
from stepwell.ops.quantize_rows import (
    ROW_FORMATS,
    RowFormat,
    quantize_rows,
    row_bytes,
)

_ROWS_A_STEP = 1 << 16  # bounds what quantising holds in memory


@dataclass(frozen=True, slots=True)
class TableSpec:
    """What a file says of one table.

    Attributes:
        name: 1 to 96 printable ASCII characters, unique in its file.
        num_rows: N >= 0.
        dim: D, 1 to 2**24.
        row_format: one of ROW_FORMATS.
        default_row: the row that stands for index -1; -1 is a row of zeros.
    """

    name: str
    num_rows: int
    dim: int
    row_format: RowFormat
    default_row: int = -1


@dataclass(frozen=True, slots=True)
class QuantisedRows:
    """A table that is in its row format already, as `quantize_rows` gives it.

    Attributes:
        rows: uint8 [N, row_bytes(row_format, dim)].
        dim: D.
        row_format: one of ROW_FORMATS.
    """

    rows: Tensor
    dim: int
    row_format: RowFormat


class RowFileWriter:
    """Writes a row file piece by piece; no table has to be in memory as a whole.

    A context manager: leaving it without `commit` leaves nothing behind. The file takes
    its name at `commit`, when it is whole and on disk; who has an older file of that
    name mapped keeps the old bytes. Concurrency: one thread.
    """

    def __init__(
        self,
        path: str | Path,
        specs: Sequence[TableSpec],
        block_bytes: int = 1 << 20,
        alignment: int = 4096,
    ) -> None:
        """Names all tables first: where each lies follows from that.

        Args:
            path: of the file to be.
            specs: T >= 1 tables in their order.
            block_bytes: a checksum each; a power of two in [64, 2**30].
            alignment: of each table; a power of two in [64, 2**21].
        Raises:
            InvalidArgumentError: a spec or size out of its range; names it.
            UnavailableError: the directory cannot be written.
        """
        self._specs = list(specs)
        self._native: Any = None
        tuples = [_to_tuple(spec) for spec in self._specs]
        self._native = native_module("_row_file").RowFileWriter.create(
            str(path),
            tuples,
            _unsigned("block_bytes", block_bytes),
            _unsigned("alignment", alignment),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._native = None  # removes the file unless it is committed

    def append(self, table: int, rows: Tensor) -> None:
        """Adds the next rows of a table; the tables come in their order.

        Args:
            table: number of the table.
            rows: float [n, D], finite, brought into the row format 65,536 at a time;
                or uint8 [n, row_bytes] in that format, written as it is.
        Raises:
            InvalidArgumentError: wrong dtype or width, more rows than the spec says, or
                a value that does not fit the format.
            FailedPreconditionError: an earlier table lacks rows, or after `commit`.
            UnavailableError: the disk cannot take it.
        Cost: one pass over the rows.
        """
        if not 0 <= table < len(self._specs):
            raise InvalidArgumentError(
                f"table is {table}, must be in [0, {len(self._specs) - 1}]", "table"
            )
        spec = self._specs[table]
        stored = rows.dtype == torch.uint8
        width = row_bytes(spec.row_format, spec.dim) if stored else spec.dim
        if rows.dim() != 2 or rows.shape[1] != width:
            raise InvalidArgumentError(
                f"rows of {spec.name} must be {rows.dtype} [n, {width}], "
                f"got {list(rows.shape)}",
                "rows",
            )
        for start in range(0, len(rows), _ROWS_A_STEP):
            step = rows[start : start + _ROWS_A_STEP].detach()
            encoded = step if stored else _encoded(spec, step)
            self._open().append(table, encoded.cpu().contiguous().view(-1).numpy())

    def commit(self) -> None:
        """Writes the header and gives the file its name, both durable on return.

        Raises:
            FailedPreconditionError: a table lacks rows; names it. Or a second call.
            UnavailableError: the disk cannot take it.
        """
        self._open().commit()

    def _open(self) -> Any:
        if self._native is None:
            raise FailedPreconditionError("the writer is closed")
        return self._native


class MappedTables(PackedTables):
    """The tables of a row file, in place: `PackedTables` whose `rows` is the mapping.

    All processes that open the file share one copy of it in memory. The pages are
    read-only: an in-place write to `rows` ends the process with SIGSEGV and never
    reaches the file. `rows` keeps the file mapped as long as any tensor of it lives.
    `.to("cuda")` makes an ordinary copy.
    """

    def __init__(self, native: Any) -> None:
        """Wraps an open file; `open_tables` is the way to get one."""
        specs = [_to_spec(entry) for entry in native.tables]
        layout = [
            [offset, *_to_layout(spec)]
            for spec, offset in zip(specs, native.offsets, strict=True)
        ]
        super().__init__(_mapped(native), torch.tensor(layout, dtype=torch.int64))
        self.specs: tuple[TableSpec, ...] = tuple(specs)
        self._native = native

    def check_blocks(self) -> None:
        """Compares every block of the file with its checksum.

        Raises:
            DataLossError: names the first bad block and its bytes.
        Concurrency: safe; releases the GIL.
        Cost: reads the whole file, about 0.1 s a GB that is in memory.
        """
        self._native.check_blocks()

    def _load_from_state_dict(self, *_: Any, **__: Any) -> NoReturn:
        raise FailedPreconditionError("mapped tables are read-only: open another file")

    def __deepcopy__(self, memo: dict[int, Any]) -> "PackedTables":
        # A mapping cannot be copied; its bytes can.
        return PackedTables(self.rows.clone(), self.layout.clone())


def open_tables(path: str | Path, check_blocks: bool = True) -> MappedTables:
    """Maps a row file read-only and returns its tables, ready for lookups.

    Args:
        path: a file that `write_tables` or `RowFileWriter` made.
        check_blocks: compare every block with its checksum first. Without it only the
            header is checked, at once whatever the size; `MappedTables.check_blocks`
            can follow, say from another thread while the first requests are served.
    Returns:
        MappedTables; no byte of the tables is copied.
    Raises:
        NotFoundError: there is no such file.
        DataLossError: it is cut, grown, altered or no row file; names what is wrong,
            for a block its number and bytes. Nothing of it is served.
        FailedPreconditionError: a format version that this program does not know.
        UnavailableError: the system refuses to open or map it.
    Concurrency: safe; releases the GIL.
    Cost: reads the file once, about 0.1 s a GB that is in memory, else the disk's time.
    """
    native = native_module("_row_file").RowFile.open(str(path), check_blocks)
    return MappedTables(native)


def write_tables(
    path: str | Path,
    tables: Mapping[str, Tensor | QuantisedRows],
    row_format: RowFormat,
    default_rows: Mapping[str, int] | None = None,
) -> None:
    """Writes tables to a row file, atomically.

    Args:
        path: of the file to be; an older file is replaced when the new one is whole.
        tables: name -> float [N, D], finite; or rows that are in a format already,
            which keep it.
        row_format: for all float tables, one of ROW_FORMATS.
        default_rows: name -> the row that stands for index -1; zeros where none is
            named.
    Raises:
        InvalidArgumentError, UnavailableError: as RowFileWriter.
    Cost: two passes over float tables; holds 65,536 rows besides.
    """
    defaults = dict(default_rows or {})
    if unknown := sorted(set(defaults) - set(tables)):
        raise InvalidArgumentError(
            f"default_rows names {unknown}, no such tables", "default_rows"
        )
    specs = [
        _spec_of(name, table, row_format, defaults.get(name, -1))
        for name, table in tables.items()
    ]
    with RowFileWriter(path, specs) as writer:
        for number, table in enumerate(tables.values()):
            writer.append(
                number, table.rows if isinstance(table, QuantisedRows) else table
            )
        writer.commit()


def _spec_of(
    name: str, table: Tensor | QuantisedRows, row_format: RowFormat, default_row: int
) -> TableSpec:
    rows = table.rows if isinstance(table, QuantisedRows) else table
    if rows.dim() != 2:
        raise InvalidArgumentError(
            f"table {name} must be [N, D], got {list(rows.shape)}", name
        )
    if isinstance(table, QuantisedRows):
        if rows.dtype != torch.uint8:
            raise InvalidArgumentError(
                f"table {name} has quantised rows of {rows.dtype}, must be uint8", name
            )
        return TableSpec(name, len(rows), table.dim, table.row_format, default_row)
    return TableSpec(name, len(rows), rows.shape[1], row_format, default_row)


def _encoded(spec: TableSpec, rows: Tensor) -> Tensor:
    if not rows.is_floating_point():
        raise InvalidArgumentError(
            f"rows of {spec.name} must be float or uint8, got {rows.dtype}", "rows"
        )
    try:
        return quantize_rows(rows.float().cpu().contiguous(), spec.row_format)
    except RuntimeError as error:
        raise InvalidArgumentError(f"rows of {spec.name}: {error}", "rows") from error


def _unsigned(field: str, value: int) -> int:
    # The C++ side takes unsigned numbers and knows the ranges; a negative one would be
    # a TypeError that names nothing.
    if value < 0:
        raise InvalidArgumentError(f"{field} is {value}, must not be negative", field)
    return value


def _to_tuple(spec: TableSpec) -> tuple[str, int, int, int, int]:
    if spec.row_format not in ROW_FORMATS:
        raise InvalidArgumentError(
            f"row_format of {spec.name} must be one of {', '.join(ROW_FORMATS)}, "
            f"got {spec.row_format!r}",
            "row_format",
        )
    return (
        spec.name,
        ROW_FORMATS.index(spec.row_format),
        _unsigned("num_rows", spec.num_rows),
        _unsigned("dim", spec.dim),
        spec.default_row,
    )


def _to_spec(entry: tuple[str, int, int, int, int]) -> TableSpec:
    name, row_format, num_rows, dim, default_row = entry
    return TableSpec(name, num_rows, dim, ROW_FORMATS[row_format], default_row)


def _to_layout(spec: TableSpec) -> tuple[int, int, int, int]:
    place = ROW_FORMATS.index(spec.row_format)
    return spec.num_rows, spec.dim, place, spec.default_row


def _mapped(native: Any) -> Tensor:
    view = memoryview(native)
    if view.nbytes == 0:  # which frombuffer refuses
        return torch.empty(0, dtype=torch.uint8)
    with _without_warning():
        # The tensor holds the view, the view holds the file.
        return torch.frombuffer(view, dtype=torch.uint8)


@contextmanager
def _without_warning() -> Iterator[None]:
    """Silences torch's one warning that a buffer is read-only: this one is meant so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        yield
