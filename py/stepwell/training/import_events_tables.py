"""The optional tables beside the events: items, users, promotions."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from stepwell.schema.vocabulary import Vocabulary
from stepwell.training.event_table import CategoryColumn, ItemTable, PromotionTable
from stepwell.training.import_events_files import (
    ROW,
    as_text_ids,
    find_file,
    id_checks,
    read_rows,
    refuse,
)
from stepwell.training.import_events_report import ImportReport

MAX_CATEGORIES = 65_535
"""Distinct values of a categorical column; the commonest keep a code of their own."""


def read_items(
    folder: Path, ids: list[str], items: Vocabulary, report: ImportReport
) -> ItemTable:
    """Returns the columns of the items that have events; all unknown without a file.

    Rows of other items are legal and left out; an id that stands twice keeps its first
    row, the others are refused. Text is a category, numbers are numbers; a CSV column
    is a number when all of its values are.
    """
    path = find_file(folder, "items")
    frame = _keyed_rows(path, "item_id", report)
    if path is None or frame is None:
        return ItemTable(display_names=list(ids))
    is_text = path.suffix == ".csv"
    at = items.rows_of_ids(frame["item_id"])
    frame, at = frame.filter(pl.Series(at >= 0)), at[at >= 0]
    names = list(ids)
    categories: dict[str, CategoryColumn] = {}
    numbers: dict[str, npt.NDArray[np.float32]] = {}
    for column in frame.columns:
        series = _typed(frame[column]) if is_text else frame[column]
        if column in ("item_id", ROW):
            continue
        if column == "name":
            for row, name in zip(at, series.cast(pl.String), strict=True):
                names[row] = name or names[row]
        elif series.dtype == pl.String or series.dtype == pl.Boolean:
            categories[column] = _category(series.cast(pl.String), at, len(ids))
        elif series.dtype.is_numeric():
            number = np.full(len(ids), np.nan, np.float32)
            number[at] = series.cast(pl.Float32).fill_null(np.nan).to_numpy()
            numbers[column] = number
    return ItemTable(names, categories, numbers)


def read_segments(
    folder: Path, users: Vocabulary, report: ImportReport
) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
    """Returns int32 [U] segment rows and the segments' names, "" (unknown) first."""
    rows = np.zeros(len(users), np.int32)
    frame = _keyed_rows(find_file(folder, "users"), "user_id", report)
    if frame is None or "segment" not in frame.columns:
        return rows, ("",)
    at = users.rows_of_ids(frame["user_id"])
    segments = frame["segment"].cast(pl.String).filter(pl.Series(at >= 0))
    column = _category(segments, at[at >= 0], len(users))
    return column.codes, column.names


def read_promotions(
    folder: Path, items: Vocabulary, report: ImportReport
) -> PromotionTable:
    """Returns the promotions of items that have events, sorted by start."""
    path = find_file(folder, "promotions")
    if path is None:
        return PromotionTable.empty()
    shares = ("display_share", "mailer_share")
    numbers = ("start_time", "end_time", *shares)
    frame = as_text_ids(read_rows(path, ("item_id", *numbers)), ("item_id",))
    start, end = (pl.col(n).cast(pl.Int64, strict=False) for n in numbers[:2])
    shares_ok = [
        pl.col(n).cast(pl.Float64, strict=False).is_between(0, 1) for n in shares
    ]
    checks = {
        **id_checks("item_id"),
        "promotion does not start before its end": ("start_time", ~(start < end)),
        "promotion share not in [0, 1]": (
            shares[0],
            ~pl.all_horizontal(shares_ok),
        ),
    }
    frame = refuse(frame, report, path.name, checks)
    rows = items.rows_of_ids(frame["item_id"])
    frame = frame.with_columns(pl.Series("item_row", rows)).filter(
        pl.col("item_row") >= 0
    )
    frame = frame.with_columns(
        pl.col("start_time").cast(pl.Int64), pl.col("end_time").cast(pl.Int64)
    ).sort("start_time", "item_row")
    return PromotionTable(
        frame["item_row"].cast(pl.Int32).to_numpy(),
        frame["start_time"].to_numpy(),
        frame["end_time"].to_numpy(),
        frame[shares[0]].cast(pl.Float32).to_numpy(),
        frame[shares[1]].cast(pl.Float32).to_numpy(),
    )


def _typed(series: pl.Series) -> pl.Series:
    if series.dtype != pl.String:
        return series
    numbers = series.replace("", None).cast(pl.Float64, strict=False)
    unread = numbers.is_null() & series.is_not_null() & (series != "")
    return series if unread.any() or numbers.is_null().all() else numbers


def _keyed_rows(
    path: Path | None, key: str, report: ImportReport
) -> pl.DataFrame | None:
    if path is None:
        return None
    frame = as_text_ids(read_rows(path, (key,)), (key,))
    checks = {
        **id_checks(key),
        f"{key} stands twice": (key, ~pl.col(key).is_first_distinct()),
    }
    return refuse(frame, report, path.name, checks)


def _category(
    values: pl.Series, at: npt.NDArray[np.int64], num_rows: int
) -> CategoryColumn:
    """Codes by falling frequency, ties by name: a table's head is its busy part."""
    known = values.filter(values.is_not_null() & (values != ""))
    counts = known.value_counts(name="n").sort(
        ["n", known.name], descending=[True, False]
    )
    names = counts[known.name].to_list()[: MAX_CATEGORIES - 1]
    code_of = {name: code for code, name in enumerate(names, start=1)}
    codes = np.zeros(num_rows, np.int32)
    codes[at] = [code_of.get(value, 0) if value else 0 for value in values]
    return CategoryColumn(codes, ("", *names))
