"""Importing a user's data: events, and optional tables of items, users, promotions.

A folder holds `events.parquet` or `events.csv` with the columns user_id, item_id,
event_time, event_type, optional value, request_id, position. Optional: `items.*`
(item_id, name, further columns: text is a category, a number a number), `users.*`
(user_id, segment), `promotions.*` (item_id, start_time, end_time, display_share,
mailer_share). Ids are text or integers. Times are unix seconds, timestamps (UTC where
no zone is given) or ISO 8601 text. Nothing is dropped in silence: see ImportReport.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from stepwell.base.errors import InvalidArgumentError, NotFoundError
from stepwell.schema.events import EventType
from stepwell.schema.vocabulary import Vocabulary
from stepwell.training.event_table import EventTable
from stepwell.training.import_events_files import (
    ROW,
    as_text_ids,
    find_file,
    id_checks,
    read_rows,
    refuse,
)
from stepwell.training.import_events_report import ImportReport
from stepwell.training.import_events_tables import (
    read_items,
    read_promotions,
    read_segments,
)

MIN_TIME = 0
MAX_TIME = 4_102_444_800
"""2100-01-01: later times are milliseconds taken for seconds."""

MAX_POSITION = 32_767
MAX_VALUE = 3.0e38
"""Values are float32 from here on."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options of an import.

    Attributes:
        max_refused_share: part of a file's rows that may be refused, 0..1.
    """

    max_refused_share: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_refused_share <= 1.0:
            raise InvalidArgumentError(
                f"max_refused_share is {self.max_refused_share}, must be in [0, 1]",
                "max_refused_share",
            )


@dataclass(frozen=True, slots=True)
class Imported:
    """The events and the report of one import."""

    table: EventTable
    report: ImportReport


class TooManyRefusedError(InvalidArgumentError):
    """More rows were refused than the options allow; `report` says which and why."""

    def __init__(self, message: str, report: ImportReport) -> None:
        super().__init__(message, "max_refused_share")
        self.report = report


def import_events(folder: Path, options: ImportOptions | None = None) -> Imported:
    """Reads and checks a folder of data.

    Returns:
        Imported: the table of accepted rows, and what was refused.
    Raises:
        NotFoundError: the folder has no events file.
        InvalidArgumentError: a file is unreadable or lacks a column.
        TooManyRefusedError: a file's refused share is above the allowed one.
    Cost: about 3 s and 1 GiB for 1.5 M events.
    """
    options = options or ImportOptions()
    path = find_file(folder, "events")
    if path is None:
        raise NotFoundError(f"{folder} has neither events.parquet nor events.csv")
    report = ImportReport()
    events = _checked_events(path, report)
    _hold_to_share(report, path.name, options)
    if not events.height:
        raise InvalidArgumentError(f"{path}: no accepted event", "events")
    table = _event_table(events, folder, report)
    for file in report.num_rows:
        _hold_to_share(report, file, options)
    return Imported(table, report)


def _hold_to_share(report: ImportReport, file: str, options: ImportOptions) -> None:
    share = report.refused_share(file)
    if share > options.max_refused_share:
        raise TooManyRefusedError(
            f"{share:.2%} of the rows of {file} are refused, allowed are "
            f"{options.max_refused_share:.2%}:\n" + "\n".join(report.lines()),
            report,
        )


def _checked_events(path: Path, report: ImportReport) -> pl.DataFrame:
    frame = read_rows(path, ("user_id", "item_id", "event_time", "event_type"))
    frame = as_text_ids(frame, ("user_id", "item_id"))
    frame = _with_defaults(frame).with_columns(
        seconds_of(frame, "event_time"),
        pl.col("event_type").cast(pl.String).str.to_lowercase().alias("type_name"),
        pl.col("value").cast(pl.Float64, strict=False).alias("number"),
        pl.col("position").cast(pl.Int64, strict=False).alias("place"),
    )
    names = [member.name.lower() for member in EventType]
    number, place = pl.col("number"), pl.col("place")
    out_of_range = (pl.col("seconds") < MIN_TIME) | (pl.col("seconds") >= MAX_TIME)
    unread_value = pl.col("value").is_not_null() & number.is_null()
    unread_place = pl.col("position").is_not_null() & place.is_null()
    bad_place = (place < 0) | (place > MAX_POSITION)
    checks = {
        **id_checks("user_id"),
        **id_checks("item_id"),
        "event_time missing or unreadable": ("event_time", pl.col("seconds").is_null()),
        "event_time out of range": ("event_time", out_of_range),
        "unknown event_type": ("event_type", ~pl.col("type_name").is_in(names)),
        "value unreadable": ("value", unread_value),
        "value negative or not finite": (
            "value",
            (~number.is_between(0, MAX_VALUE)).fill_null(False),
        ),
        "position unreadable": ("position", unread_place),
        "position out of range": ("position", bad_place.fill_null(False)),
    }
    return refuse(frame, report, path.name, checks)


def seconds_of(frame: pl.DataFrame, column: str) -> pl.Expr:
    """Returns a time column in unix seconds as an expression; null where unreadable."""
    dtype, value = frame.schema[column], pl.col(column)
    if dtype == pl.String:
        text = value.str.strip_chars()
        number = text.cast(pl.Float64, strict=False).floor()
        zoned = pl.coalesce(
            text.str.to_datetime(layout, time_zone="UTC", strict=False)
            for layout in _ISO_ZONED
        )
        plain = pl.coalesce(
            text.str.to_datetime(layout, strict=False) for layout in _ISO_PLAIN
        )
        seconds = pl.coalesce(number, zoned.dt.epoch("s"), plain.dt.epoch("s"))
    elif isinstance(dtype, pl.Datetime) or dtype == pl.Date:
        seconds = value.dt.epoch("s")
    elif dtype.is_numeric():
        seconds = value.cast(pl.Float64).floor()
    else:
        raise InvalidArgumentError(
            f"{column} has type {dtype}, must be seconds, a timestamp or text", column
        )
    return seconds.cast(pl.Int64, strict=False).alias("seconds")


_ISO_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
_ISO_PLAIN = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d")


def _with_defaults(frame: pl.DataFrame) -> pl.DataFrame:
    absent = [c for c in ("value", "request_id", "position") if c not in frame.columns]
    frame = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in absent)
    return frame.with_columns(pl.col("request_id").cast(pl.String))


def _event_table(
    events: pl.DataFrame, folder: Path, report: ImportReport
) -> EventTable:
    users, user_rows = _coded(events["user_id"])
    items, item_rows = _coded(events["item_id"])
    requests, request_rows = _coded(events["request_id"])
    times = events["seconds"].to_numpy()
    order = np.lexsort((events[ROW].to_numpy(), item_rows, user_rows, times))
    codes = {member.name.lower(): int(member) for member in EventType}
    types = events["type_name"].replace_strict(codes, return_dtype=pl.Int8).to_numpy()
    values = events["number"].fill_null(0.0).cast(pl.Float32).to_numpy()
    positions = events["place"].fill_null(-1).cast(pl.Int16).to_numpy()
    user_vocabulary, item_vocabulary = Vocabulary.build(users), Vocabulary.build(items)
    segments, segment_names = read_segments(folder, user_vocabulary, report)
    return EventTable(
        users=user_vocabulary,
        items=item_vocabulary,
        user_rows=user_rows[order],
        item_rows=item_rows[order],
        times=times[order],
        types=types[order],
        values=values[order],
        positions=positions[order],
        request_rows=request_rows[order],
        request_ids=requests,
        user_segments=segments,
        segment_names=segment_names,
        item_table=read_items(folder, items, item_vocabulary, report),
        promotions=read_promotions(folder, item_vocabulary, report),
    )


def _coded(
    ids: pl.Series,
) -> tuple[list[str], "np.ndarray[tuple[int], np.dtype[np.int32]]"]:
    """Returns the sorted distinct ids and int32 [E] rows into them, -1 for null."""
    distinct = ids.drop_nulls().unique().sort()
    if not len(distinct):
        return [], np.full(len(ids), -1, np.int32)
    codes = pl.DataFrame({"id": distinct}).with_row_index("code")
    joined = pl.DataFrame({"id": ids}).join(
        codes, on="id", how="left", maintain_order="left"
    )
    rows = joined["code"].cast(pl.Int32).fill_null(-1).to_numpy()
    return distinct.to_list(), rows
