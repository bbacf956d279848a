"""Reading Parquet and CSV files whose text may be broken, row by row accounted for."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from stepwell.base.errors import InvalidArgumentError, NotFoundError
from stepwell.training.import_events_report import (
    MAX_EXAMPLES,
    ImportReport,
    RefusedRow,
)

MAX_ID_BYTES = 256
ROW = "__row__"
SURPLUS = "__surplus__"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def find_file(folder: Path, stem: str) -> Path | None:
    """Returns `stem`.parquet or `stem`.csv in a folder, None when neither is there.

    Raises:
        InvalidArgumentError: both are there; which one is meant is not ours to guess.
    """
    found = [folder / f"{stem}{end}" for end in (".parquet", ".csv")]
    found = [path for path in found if path.exists()]
    if len(found) > 1:
        raise InvalidArgumentError(
            f"{folder} has both {found[0].name} and {found[1].name}, keep one", stem
        )
    return found[0] if found else None


def read_rows(path: Path, required: Sequence[str]) -> pl.DataFrame:
    """Returns a file's rows with a column ROW of 1-based row numbers.

    CSV columns are all text. Bytes that are no UTF-8 become U+FFFD, which `refuse_ids`
    refuses.

    Raises:
        NotFoundError: no such file.
        InvalidArgumentError: not a readable Parquet or CSV file, or a required column
            is missing; names those there are.
    """
    if not path.exists():
        raise NotFoundError(f"no file {path}")
    try:
        frame = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
    except (pl.exceptions.PolarsError, pa.lib.ArrowException, OSError) as error:
        raise InvalidArgumentError(f"{path}: not readable: {error}") from error
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise InvalidArgumentError(
            f"{path.name} lacks the column(s) {', '.join(missing)}; "
            f"it has {', '.join(frame.columns)}",
            missing[0],
        )
    return frame.with_row_index(ROW, offset=1)


def refuse(
    frame: pl.DataFrame,
    report: ImportReport,
    file: str,
    checks: Mapping[str, tuple[str, pl.Expr]],
) -> pl.DataFrame:
    """Returns the rows that pass every check; the others enter the report.

    Args:
        frame: rows with ROW.
        report: gets counts and examples.
        file: the name that the report uses.
        checks: reason -> (column to show, expression that is true where the row is
            bad). A row counts under the first reason that holds; null counts as true.
    """
    report.num_rows[file] = report.num_rows.get(file, 0) + frame.height
    if SURPLUS in frame.columns:
        is_long = pl.col(SURPLUS).is_not_null()
        checks = {"more fields than columns": (SURPLUS, is_long), **checks}
    for reason, (column, is_bad) in checks.items():
        bad_mask = frame.select(is_bad.fill_null(True).alias("bad"))["bad"]
        bad = frame.filter(bad_mask)
        if bad.height:
            report.refused[file, reason] += bad.height
            shown = bad.head(MAX_EXAMPLES)
            for row, value in zip(shown[ROW], shown[column], strict=True):
                text = "null" if value is None else repr(value)
                report.examples.append(RefusedRow(file, int(row), reason, text[:80]))
            frame = frame.filter(~bad_mask)
    report.num_accepted[file] = report.num_accepted.get(file, 0) + frame.height
    return frame.drop(SURPLUS, strict=False)


def id_checks(column: str) -> dict[str, tuple[str, pl.Expr]]:
    """Returns the checks of an id column of text."""
    value = pl.col(column)
    broken = value.str.contains(_REPLACEMENT, literal=True)
    return {
        f"missing {column}": (column, value.is_null() | (value == "")),
        f"{column} is not valid UTF-8": (column, broken),
        f"{column} longer than {MAX_ID_BYTES} bytes": (
            column,
            value.str.len_bytes() > MAX_ID_BYTES,
        ),
    }


def as_text_ids(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Returns the frame with id columns as text; integers become their decimals.

    Raises:
        InvalidArgumentError: a column holds neither text nor integers.
    """
    for name in columns:
        dtype = frame.schema[name]
        is_text = dtype in (pl.String, pl.Categorical, pl.Enum)
        if not (is_text or dtype.is_integer()):
            raise InvalidArgumentError(
                f"{name} has type {dtype}, must be string or integer", name
            )
    return frame.with_columns(pl.col(name).cast(pl.String) for name in columns)


def _read_csv(path: Path) -> pl.DataFrame:
    try:
        return pl.read_csv(path, infer_schema=False, encoding="utf8-lossy")
    except pl.exceptions.PolarsError:
        # One bad line stops the fast reader: go line by line and keep what is whole.
        return _read_csv_slowly(path)


def _read_csv_slowly(path: Path) -> pl.DataFrame:
    """Reads text rows; a row of too many fields has the rest of it in SURPLUS."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.reader(file)
        try:
            names = next(reader, [])
            rows = [row for row in reader if row]
        except csv.Error as error:
            message = f"{path}: not readable at line {reader.line_num}: {error}"
            raise InvalidArgumentError(message) from error
    if len(set(names)) != len(names) or not names:
        raise InvalidArgumentError(f"{path}: header {names} must be distinct names")
    width = len(names)
    columns = {
        name: [row[at] or None if at < len(row) else None for row in rows]
        for at, name in enumerate(names)
    }
    columns[SURPLUS] = [",".join(row[width:]) or None for row in rows]
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except pl.exceptions.PolarsError:
        # A column with invalid UTF-8 stops the fast reader: read text as bytes.
        table = pq.ParquetFile(path, binary_type=None).read()
        return _lossy(table)


def _lossy(table: Any) -> pl.DataFrame:
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if str(column.type) in ("string", "large_string"):
            raw = column.cast("binary").to_pylist()
            columns[name] = pl.Series(
                name,
                [None if v is None else v.decode(errors="replace") for v in raw],
                pl.String,
            )
        else:
            columns[name] = pl.Series(name, pl.from_arrow(column))
    return pl.DataFrame(list(columns.values()))
