"""Importing a Feast repository's offline rows: checked, typed, each refusal reported.

A view becomes one Parquet file in the form of point-in-time joins: the entity's id as
text, `event_timestamp` in unix seconds, `created_timestamp` in unix microseconds, then
the features in the view's types. The newest row of each entity can go into an online
store.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stepwell.base.errors import InvalidArgumentError, NotFoundError
from stepwell.schema.feature_row import MAX_AHEAD_SECONDS, FeatureRow
from stepwell.schema.feature_view import FeatureType, FeatureView
from stepwell.schema.vocabulary import entity_keys
from stepwell.stores.key_value_store import KeyValueStore
from stepwell.training.feast_repository import (
    TEXT,
    FeastColumn,
    FeastView,
    Refusal,
    read_feast_repository,
)
from stepwell.training.import_events import (
    ImportOptions,
    TooManyRefusedError,
    seconds_of,
)
from stepwell.training.import_events_files import (
    ROW,
    as_text_ids,
    id_checks,
    read_rows,
    refuse,
)
from stepwell.training.import_events_report import ImportReport
from stepwell.training.point_in_time_files import TTL_METADATA

ENTITY_ID = "entity_id"
EVENT_TIMESTAMP = "event_timestamp"
CREATED_TIMESTAMP = "created_timestamp"
_BATCH_ROWS = 1_000
_DTYPES: Mapping[FeatureType, type[pl.DataType]] = {
    "float32": pl.Float32,
    "int32": pl.Int32,
    "int64": pl.Int64,
    "uint64": pl.UInt64,
}
_VALUE = "__value__"


@dataclass(frozen=True, slots=True)
class ImportedView:
    """A view and its accepted rows, by entity, event time, created time.

    The columns are `entity_id`, the two times in unix seconds, and the features.
    """

    view: FeatureView
    rows: pl.DataFrame


@dataclass(frozen=True, slots=True)
class FeastImport:
    """What came of a repository.

    Attributes:
        project: its name.
        views: with their rows.
        refusals: views and features that were not taken over.
        report: of the rows; `num_defaulted` of the values.
        num_defaulted: null values that took the default, by "view:feature".
    """

    project: str
    views: tuple[ImportedView, ...]
    refusals: tuple[Refusal, ...]
    report: ImportReport
    num_defaulted: Mapping[str, int]

    def lines(self) -> list[str]:
        """Returns all of it as text, one line a fact."""
        lines = [f"refused {refusal}" for refusal in self.refusals]
        lines += self.report.lines()
        lines += [
            f"  {name}: {count} null, took the default"
            for name, count in self.num_defaulted.items()
        ]
        return lines


def import_feast(
    folder: Path, options: ImportOptions | None = None, now_seconds: int | None = None
) -> FeastImport:
    """Reads the views of a repository and their rows.

    Args:
        folder: of feature_store.yaml.
        options: what part of a view's rows may be refused.
        now_seconds: unix seconds; rows may be a day ahead. None is the clock's.
    Raises:
        TooManyRefusedError: more of a view's rows than the options allow.
        StepwellError: as read_feast_repository, or no view could be taken over.
    """
    options = options or ImportOptions()
    latest = MAX_AHEAD_SECONDS + (
        int(time.time()) if now_seconds is None else now_seconds
    )
    found = read_feast_repository(folder)
    report, defaulted = ImportReport(), dict[str, int]()
    refusals, views = list(found.refusals), list[ImportedView]()
    for one in found.views:
        try:
            rows = _rows(one, latest, report, defaulted)
        except (InvalidArgumentError, NotFoundError) as error:
            refusals.append(Refusal(f"view {one.view.name}", str(error)))
            continue
        _hold_to_share(one.view.name, report, options)
        views.append(ImportedView(one.view, rows))
    if not views:
        raise InvalidArgumentError(
            f"{folder}: no view could be imported: " + "; ".join(map(str, refusals))
        )
    return FeastImport(found.project, tuple(views), tuple(refusals), report, defaulted)


def write_views(imported: FeastImport, folder: Path) -> list[Path]:
    """Writes `folder`/VIEW.parquet for each view, see `view_tables`; replaces none.

    A row counts as known from the end of the second in which it was created. Of rows
    of one entity and both times the last of its file is kept.

    Raises:
        InvalidArgumentError: a file is there already; nothing was written.
    """
    paths = [folder / f"{one.view.name}.parquet" for one in imported.views]
    there = [str(path) for path in paths if path.exists()]
    if there:
        raise InvalidArgumentError(f"already there: {', '.join(there)}", "out")
    folder.mkdir(parents=True, exist_ok=True)
    for one, path in zip(imported.views, paths, strict=True):
        metadata = {TTL_METADATA.decode(): str(one.view.ttl_seconds)}
        _as_joined(one).write_parquet(path, metadata=metadata)
    return paths


def _as_joined(one: ImportedView) -> pl.DataFrame:
    times = (ENTITY_ID, EVENT_TIMESTAMP, CREATED_TIMESTAMP)
    known_us = pl.col(CREATED_TIMESTAMP) * 1_000_000 + 999_999
    rows = one.rows.unique(times, keep="last", maintain_order=True)
    return rows.with_columns(known_us).rename({ENTITY_ID: one.view.entity.id_field})


def put_newest(imported: FeastImport, store: KeyValueStore) -> int:
    """Puts the newest row of every entity into a store; returns how many.

    What the store held of these entities in these views is replaced.
    """
    number = 0
    for one in imported.views:
        for batch in _packed(one):
            store.put_many(one.view.name, batch)
            number += len(batch)
    return number


def _packed(one: ImportedView) -> Iterator[dict[str, bytes]]:
    newest = one.rows.unique(ENTITY_ID, keep="last", maintain_order=True)
    values: np.ndarray[Any, np.dtype[Any]] = np.zeros(newest.height, one.view.row_dtype)
    for feature in one.view.features:
        values[feature.name] = newest[feature.name].to_numpy()
    ids = newest[ENTITY_ID].to_list()
    events = newest[EVENT_TIMESTAMP].to_list()
    created = newest[CREATED_TIMESTAMP].to_list()
    for start in range(0, len(ids), _BATCH_ROWS):
        yield {
            ids[at]: FeatureRow(
                one.view, values[at].tobytes(), events[at], created[at] * 1_000_000
            ).pack()
            for at in range(start, min(start + _BATCH_ROWS, len(ids)))
        }


def _rows(
    one: FeastView, latest: int, report: ImportReport, defaulted: dict[str, int]
) -> pl.DataFrame:
    required = [one.join_key, one.event_column, *(c.column for c in one.columns)]
    if one.created_column:
        required.append(one.created_column)
    frame = as_text_ids(read_rows(one.path, required), (one.join_key,))
    created = one.created_column or one.event_column
    frame = frame.with_columns(
        seconds_of(frame, one.event_column).alias(EVENT_TIMESTAMP),
        seconds_of(frame, created).alias(CREATED_TIMESTAMP),
        *(_typed(frame, column) for column in one.columns),
    )
    checks = {**id_checks(one.join_key)}
    for name, column in (
        (EVENT_TIMESTAMP, one.event_column),
        (CREATED_TIMESTAMP, created),
    ):
        seconds = pl.col(name)
        checks[f"{name} missing or unreadable"] = (column, seconds.is_null())
        checks[f"{name} before 1970 or more than a day ahead"] = (
            column,
            (seconds < 0) | (seconds > latest),
        )
    for one_column in one.columns:
        checks |= _value_checks(one_column)
    frame = refuse(frame, report, one.view.name, checks)
    return _in_form(frame, one, defaulted)


def _typed(frame: pl.DataFrame, column: FeastColumn) -> pl.Expr:
    """The column in a type that its checks compare; null where it cannot be read."""
    value = pl.col(column.column)
    if column.kind == TEXT:
        typed = value.cast(pl.String, strict=False)
    elif column.kind == "time":
        typed = seconds_of(frame, column.column)
    elif column.feature.dtype == "float32":
        typed = value.cast(pl.Float64, strict=False)
    else:
        # Whole numbers with nulls among them often lie there as floats.
        whole = value.cast(pl.Int64, strict=False)
        typed = pl.when(whole == value).then(whole)
    return typed.alias(_VALUE + column.feature.name)


def _value_checks(column: FeastColumn) -> dict[str, tuple[str, pl.Expr]]:
    """A null is no fault, it takes the default; a value that is no number is one."""
    raw, value = pl.col(column.column), pl.col(_VALUE + column.feature.name)
    feature = column.feature
    checks = {
        f"{feature.name} is no {feature.dtype}": (
            column.column,
            raw.is_not_null() & value.is_null(),
        )
    }
    if column.kind != TEXT:
        # NaN is in no range.
        outside = ~value.is_between(feature.low, feature.high)
        checks[f"{feature.name} not finite or out of range"] = (
            column.column,
            (outside | value.is_nan() if feature.dtype == "float32" else outside)
            & value.is_not_null(),
        )
    return checks


def _in_form(
    frame: pl.DataFrame, one: FeastView, defaulted: dict[str, int]
) -> pl.DataFrame:
    columns = [
        frame[one.join_key].alias(ENTITY_ID),
        frame[EVENT_TIMESTAMP],
        frame[CREATED_TIMESTAMP],
        frame[ROW],
    ]
    for column in one.columns:
        feature, values = column.feature, frame[_VALUE + column.feature.name]
        if num_null := values.null_count():
            defaulted[f"{one.view.name}:{feature.name}"] = num_null
        if column.kind == TEXT:
            values = _keys(feature.name, values)
        typed = values.fill_null(feature.default).cast(_DTYPES[feature.dtype])
        columns.append(typed.alias(feature.name))
    order = [ENTITY_ID, EVENT_TIMESTAMP, CREATED_TIMESTAMP, ROW]
    return pl.DataFrame(columns).sort(order).drop(ROW)


def _keys(name: str, values: pl.Series) -> pl.Series:
    """Text as the keys that the views of profiles have: of "NAME=value"."""
    distinct = values.drop_nulls().unique()
    keys = entity_keys(f"{name}={value}" for value in distinct)
    known = pl.DataFrame({"value": distinct, "key": pl.Series(keys, dtype=pl.UInt64)})
    joined = pl.DataFrame({"value": values}).join(
        known, on="value", how="left", maintain_order="left"
    )
    return joined["key"]


def _hold_to_share(view: str, report: ImportReport, options: ImportOptions) -> None:
    share = report.refused_share(view)
    if share > options.max_refused_share:
        raise TooManyRefusedError(
            f"{share:.2%} of the rows of {view} are refused, allowed are "
            f"{options.max_refused_share:.2%}:\n" + "\n".join(report.lines()),
            report,
        )
