"""From an event log or a folder of events to training rows: all of the steps."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from stepwell.base.errors import InvalidArgumentError, NotFoundError
from stepwell.feedback.stream_fold import UserEvent
from stepwell.releases.durable_files import sync_tree, write_durably
from stepwell.schema.vocabulary import entity_key
from stepwell.stores.locations import open_event_log
from stepwell.stores.redaction import without_secrets
from stepwell.training.import_events import import_events
from stepwell.training.import_events_files import find_file
from stepwell.training.import_events_report import ImportReport
from stepwell.training.impression_rows_folder import tables_of_events
from stepwell.training.impression_rows_log import tables_of_log
from stepwell.training.impression_rows_tables import (
    FEEDBACK_FILE,
    SHOWN_FILE,
    Extent,
    Prepared,
    RowKind,
)
from stepwell.training.impression_rows_writer import (
    Progress,
    Resources,
    RowsOptions,
    RowsReport,
    RowsWriter,
)
from stepwell.training.point_in_time_files import view_tables
from stepwell.training.point_in_time_views import COLUMN_VIEWS, write_views

_READY = "tables.json"
_HISTORY = "history"
_BATCH_EVENTS = 50_000
_EVENT_COLUMNS = [
    "user_id",
    "item_id",
    "event_type",
    "event_time",
    "value",
    "ingestion_time_us",
]
WORK = ".work"


def prepare(options: RowsOptions, folder: Path, progress: Progress) -> Prepared:
    """Writes tables and views of a source into `folder`, unless they are there.

    What an earlier run left there is used again when the source is as it was.

    Args:
        options: `source` and `history` say where from: a folder of events, a folder of
            an event log, or a Redis URL of one; `history` is a folder of events.
        progress: called with a word and the done share, 0..1.
    Raises:
        NotFoundError: there is neither a log nor an events file.
        InvalidArgumentError: the history is no folder of events, or the source is one
            and needs no history.
    Cost: 1.5 M events take half a minute and 1 GiB.
    """
    views = tuple(view.table(folder) for view in COLUMN_VIEWS)
    source = _Source(options, folder)
    state = [*source.state(), *([view.name, view.schema] for view in views)]
    extent = _left(folder, state)
    if extent is not None:
        return Prepared(folder, views, extent)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    report = source.write_tables(progress)
    _fold(folder, progress)
    extent = _extent(folder, source.is_log)
    sync_tree(folder)
    mark = {"state": state, "extent": asdict(extent)}
    write_durably(folder / _READY, json.dumps(mark).encode())
    return Prepared(folder, views, extent, report)


def write_rows(
    out: Path,
    options: RowsOptions,
    resources: Resources,
    progress: Progress,
    as_of_seconds: int | None = None,
) -> tuple[RowsReport, Prepared]:
    """Writes the training rows of a source into `out`, see RowsWriter.

    What is prepared on the way lies in `out`/.work and stays there, so that a run that
    was interrupted goes on; `forget_work` removes it.

    Args:
        as_of_seconds: when it is now; None is the time of the newest slate, or event
            where events are the rows.
    """
    # Looked at first: what is wrong with them is said before the work is done.
    more = view_tables(Path(options.features)) if options.features else ()
    own = {view.view.name for view in COLUMN_VIEWS}
    twice = [view.name for view in more if view.name in own]
    if twice:
        raise InvalidArgumentError(f"the view {twice[0]} is made here", "features")
    prepared = prepare(options, out / WORK, progress)
    prepared = replace(prepared, views=(*prepared.views, *more))
    writer = RowsWriter(prepared, out, options, resources)
    now = prepared.extent.newest_time if as_of_seconds is None else as_of_seconds
    return writer.write(now, progress), prepared


def forget_work(out: Path) -> None:
    """Removes what was prepared; the rows stay."""
    shutil.rmtree(out / WORK, ignore_errors=True)


class _Source:
    """Where events come from: a log, or a folder of files."""

    def __init__(self, options: RowsOptions, out: Path) -> None:
        self._location = options.source
        self._history = options.history
        self._out = out
        folder = Path(self._location)
        self.is_log = "://" in self._location or (folder / "data.mdb").exists()
        if not self.is_log and find_file(folder, "events") is None:
            raise NotFoundError(
                f"{without_secrets(self._location)} holds neither an event log nor "
                "events.parquet or events.csv"
            )
        if self._history and not self.is_log:
            raise InvalidArgumentError(
                f"history is {self._history!r}, but events of a folder have their own",
                "history",
            )

    def state(self) -> list[object]:
        """Returns what differs when the source has changed."""
        folder = Path(self._history or self._location)
        state: list[object] = [without_secrets(self._location), self._history]
        if self.is_log:
            state.append(self._end_offset())
        if self._history or not self.is_log:
            path = find_file(folder, "events")
            if path is None:
                raise NotFoundError(f"{folder} has neither events.parquet nor .csv")
            stat = path.stat()
            state += [stat.st_size, stat.st_mtime_ns]
        return state

    def write_tables(self, progress: Progress) -> ImportReport | None:
        """Writes the tables; returns the report of what was imported."""
        if not self.is_log:
            progress("import", 0.0)
            imported = import_events(Path(self._location))
            tables_of_events(imported.table, self._out)
            return imported.report
        log = open_event_log(self._location)
        try:
            end = log.end_offset()
            tables_of_log(log, end, self._out, lambda share: progress("log", share))
        finally:
            log.close()
        if not self._history:
            return None
        imported = import_events(Path(self._history))
        (self._out / _HISTORY).mkdir()
        tables_of_events(imported.table, self._out / _HISTORY)
        return imported.report

    def _end_offset(self) -> int:
        log = open_event_log(self._location)
        try:
            return log.end_offset()
        finally:
            log.close()


def _left(folder: Path, state: list[object]) -> Extent | None:
    """Returns the extent of what an earlier run left of the source; None for nothing.

    A mark that cannot be read is one of another version, or damaged: it is no mark.
    """
    try:
        mark = json.loads((folder / _READY).read_text())
        extent = dict(mark["extent"])
        extent["kind"] = RowKind(extent["kind"])
        return Extent(**extent) if mark["state"] == state else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fold(folder: Path, progress: Progress) -> None:
    """Writes the views of the tables."""
    parts = [path for path in (folder / _HISTORY, folder) if path.exists()]
    events = _events([path / FEEDBACK_FILE for path in parts], progress)
    write_views(COLUMN_VIEWS, events, folder)


def _extent(folder: Path, is_log: bool) -> Extent:
    shown, feedback = (_span(folder / file) for file in (SHOWN_FILE, FEEDBACK_FILE))
    kind = RowKind.SLATES if is_log or shown else RowKind.EVENTS
    rows = shown if kind == RowKind.SLATES else feedback
    num_forgotten = min((span["line"] for span in (shown, feedback) if span), default=0)
    return Extent(
        kind,
        newest_time=rows.get("newest_time", 0),
        num_forgotten=num_forgotten,
        whole_from=rows.get("first_time", 0) if num_forgotten else 0,
    )


def _span(table: Path) -> dict[str, Any]:
    """Returns the first line, its event time and the newest one; {} of no rows."""
    line, time = pl.col("line"), pl.col("event_time")
    span = pl.scan_parquet(table).select(
        line.min(),
        time.filter(line == line.min()).first().alias("first_time"),
        time.max().alias("newest_time"),
    )
    found = span.collect().row(0, named=True)
    return {} if found["line"] is None else found


def _events(
    files: list[Path], progress: Progress
) -> Iterator[tuple[Mapping[str, str], UserEvent]]:
    """Yields the events of tables in their order, each with its entities' ids."""
    tables = [pq.ParquetFile(path) for path in files]
    num_events = sum(table.metadata.num_rows for table in tables)
    number = 0
    for table in tables:
        for batch in table.iter_batches(_BATCH_EVENTS, columns=_EVENT_COLUMNS):
            columns = [batch.column(name).to_pylist() for name in _EVENT_COLUMNS]
            for user, item, kind, time, value, taken_in_us in zip(
                *columns, strict=True
            ):
                event = UserEvent(
                    number, kind, entity_key(item), time, value, taken_in_us
                )
                yield {"user_id": user, "item_id": item}, event
                number += 1
            progress("features", number / num_events)
