"""What is to change of a release's items: new ones, and new words about known ones."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from stepwell.base.errors import InvalidArgumentError
from stepwell.training.import_events_files import (
    ROW,
    as_text_ids,
    id_checks,
    read_rows,
    refuse,
)
from stepwell.training.import_events_report import ImportReport

MAX_CHANGED_ITEMS = 1_000_000
_KEY, _NAME = "item_id", "name"


@dataclass(frozen=True, slots=True)
class ItemChanges:
    """C items, each once. What is not said of one is None or NaN.

    Attributes:
        ids: C ids, known to the release or not.
        names: what to show of each.
        categories: C names by column; a number of the file is one by its digits.
        numbers: float64 [C] by column, of the columns that hold only numbers.
    """

    ids: tuple[str, ...]
    names: tuple[str | None, ...]
    categories: dict[str, tuple[str | None, ...]] = field(default_factory=dict)
    numbers: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


def read_item_changes(path: Path, report: ImportReport) -> ItemChanges:
    """Reads a table of items: item_id, optional name, categories and numbers.

    Args:
        path: Parquet or CSV, in the form of a data set's items.
        report: gets the rows that are refused: no id, a broken one, one that stood
            before.
    Raises:
        InvalidArgumentError: unreadable, no item_id, or too many items.
    """
    frame = as_text_ids(read_rows(path, (_KEY,)), (_KEY,))
    if frame.height > MAX_CHANGED_ITEMS:
        raise InvalidArgumentError(
            f"{path} has {frame.height} items, may have {MAX_CHANGED_ITEMS}", "items"
        )
    checks = {
        **id_checks(_KEY),
        f"{_KEY} stands twice": (_KEY, ~pl.col(_KEY).is_first_distinct()),
    }
    frame = refuse(frame, report, path.name, checks)
    columns = [name for name in frame.columns if name not in (_KEY, _NAME, ROW)]
    names = _texts(frame[_NAME]) if _NAME in frame.columns else (None,) * frame.height
    return ItemChanges(
        ids=tuple(frame[_KEY].to_list()),
        names=names,
        categories={name: _texts(frame[name]) for name in columns},
        numbers={
            name: numbers
            for name in columns
            if (numbers := _numbers(frame[name])) is not None
        },
    )


def _texts(series: pl.Series) -> tuple[str | None, ...]:
    values = series.cast(pl.String, strict=False).to_list()
    return tuple(value or None for value in values)


def _numbers(series: pl.Series) -> npt.NDArray[np.float64] | None:
    """A column's finite numbers, NaN where it is empty; None when some are none."""
    if series.dtype == pl.String:
        series = series.replace("", None)
    numbers = series.cast(pl.Float64, strict=False)
    if (numbers.is_null() & series.is_not_null()).any():
        return None
    found = numbers.fill_null(np.nan).to_numpy().astype(np.float64)
    return np.where(np.isfinite(found), found, np.nan)
