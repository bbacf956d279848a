"""What training rows are made from, as Parquet: what was shown and what happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stepwell.training.import_events_report import ImportReport
from stepwell.training.point_in_time import ViewTable

SHOWN = pa.schema(
    [
        ("line", pa.int64()),
        ("request_id", pa.string()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("position", pa.int32()),
        ("event_time", pa.int64()),
        ("ingestion_time_us", pa.int64()),
        ("tier", pa.int32()),
        ("release_id", pa.string()),
        ("score", pa.float32()),
        ("propensity", pa.float32()),
        ("served_schema", pa.string()),
        ("served_dense", pa.list_(pa.float32())),
        ("served_sparse", pa.list_(pa.int64())),
    ]
)
"""A row a shown item; a slate of none is a row whose item_id is null.

`line` orders slates as the log does and is one for a slate. Times are unix seconds and
unix microseconds. The features as served, where they were logged, are those of the
catalogue of hash `served_schema` (hex)."""

FEEDBACK = pa.schema(
    [
        ("line", pa.int64()),
        ("event_id", pa.string()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("event_type", pa.int32()),
        ("event_time", pa.int64()),
        ("ingestion_time_us", pa.int64()),
        ("value", pa.float32()),
        ("request_id", pa.string()),
    ]
)
"""A row an event, `line` in the order of the log; request_id is "" where unknown."""

SHOWN_FILE, FEEDBACK_FILE = "shown.parquet", "feedback.parquet"
_CHUNK_ROWS = 100_000


class RowKind(StrEnum):
    """What a training row is: a shown item, or an event where nothing is ever shown."""

    SLATES = "slates"
    EVENTS = "events"


@dataclass(frozen=True, slots=True)
class Extent:
    """What of its source the tables hold; times are unix seconds.

    Attributes:
        kind: of the rows.
        newest_time: of the newest slate, or event where events are the rows: clients
            date events, and one of tomorrow must not end the windows of today. 0 when
            there is none.
        num_forgotten: first lines that the log no longer had.
        whole_from: slates before it may be among those; 0 when none was forgotten.
    """

    kind: RowKind
    newest_time: int
    num_forgotten: int = 0
    whole_from: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the rows are made from, as Parquet.

    Attributes:
        folder: with the tables.
        views: feature rows over time.
        extent: of the tables.
        report: of the import of a folder; None for a log, and when it was made before.
    """

    folder: Path
    views: tuple[ViewTable, ...]
    extent: Extent
    report: ImportReport | None = None


class TableWriter:
    """Writes a Parquet file row by row; a context manager.

    Concurrency: one thread.
    Cost: memory of 100,000 rows.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._rows: list[Sequence[Any]] = []

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._flush()
        self._writer.close()

    def add(self, row: Sequence[Any]) -> None:
        """Adds a row, its values in the order of the schema."""
        self._rows.append(row)
        if len(self._rows) >= _CHUNK_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [
                pa.array(column, field.type)
                for column, field in zip(columns, self._schema, strict=True)
            ]
            self._writer.write_table(pa.table(arrays, schema=self._schema))
            self._rows.clear()
