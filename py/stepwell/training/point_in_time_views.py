"""Rows of the stream's views over time, by the folds that the online updater uses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stepwell.feedback.item_state import KINDS, ItemState
from stepwell.feedback.stream_fold import UserActivityFold, UserEvent
from stepwell.schema.feature_registry import ITEM_ACTIVITY, USER_ACTIVITY
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.feature_view import FeatureView
from stepwell.training.point_in_time import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    ViewTable,
)

_CHUNK_ROWS = 100_000


class Version(NamedTuple):
    """A row of a view at one time: unix seconds, unix microseconds, its numbers."""

    event_timestamp: int
    created_timestamp: int
    body: bytes


class Fold(Protocol):
    """Folds events, in the order of the log, into the rows of all entities."""

    def added(self, entity: str, event: UserEvent) -> Version | None:
        """Returns the row of the entity after an event of it, None for no change."""
        ...


class UserActivityRows:
    """The view user_activity."""

    def __init__(self) -> None:
        self._fold = UserActivityFold()
        self._rows: dict[str, FeatureRow] = {}

    def added(self, entity: str, event: UserEvent) -> Version | None:
        before = self._rows.get(entity)
        after = self._fold.folded(before, (event,)).row
        if after is None or after is before:
            return None
        self._rows[entity] = after
        return Version(after.event_timestamp, after.written_at_us, after.body)


class ItemActivityRows:
    """The view item_activity."""

    def __init__(self) -> None:
        self._state = ItemState()
        self._times: dict[int, tuple[int, int]] = {}

    def added(self, entity: str, event: UserEvent) -> Version | None:
        del entity  # the event has its key
        if event.kind not in KINDS:
            return None
        slot = self._state.fold(event.item_key, event.kind, event.time)
        if slot < 0:
            return None
        newest, created = self._times.get(slot, (0, 0))
        times = max(newest, event.time), max(created, event.taken_in_us)
        self._times[slot] = times
        return Version(*times, self._state.rows[slot].tobytes())


@dataclass(frozen=True, slots=True)
class StreamView:
    """A view, its entity's column in the tables, and what folds it."""

    view: FeatureView
    key: str
    fold: type[Fold]

    def table(self, folder: Path) -> ViewTable:
        """Returns where `write_views` leaves its rows."""
        return ViewTable(
            name=self.view.name,
            key=self.key,
            files=folder / f"{self.view.name}.parquet",
            features=tuple(feature.name for feature in self.view.features),
            ttl_seconds=self.view.ttl_seconds,
            schema=self.view.schema_hash(),
        )


COLUMN_VIEWS = (
    StreamView(USER_ACTIVITY, "user_id", UserActivityRows),
    StreamView(ITEM_ACTIVITY, "item_id", ItemActivityRows),
)
"""The views whose rows are numbers; a user's history is a list and no column."""


def write_views(
    views: Iterable[StreamView],
    events: Iterable[tuple[Mapping[str, str], UserEvent]],
    folder: Path,
) -> None:
    """Writes each view's rows as they were after every event, as a `ViewTable`.

    Of rows of one entity that speak of one time and were created at one time only the
    last is kept: nothing could have read the others.

    Args:
        views: what to fold.
        events: in the order of the log, each with the ids of its entities by key.
        folder: gets one Parquet file a view.
    Cost: about 10 us a view and event; memory of one row an entity.
    """
    writers = [_ViewWriter(view, folder) for view in views]
    for ids, event in events:
        for writer in writers:
            writer.add(ids, event)
    for writer in writers:
        writer.close()


class _ViewWriter:
    """Folds and writes one view. The newest row of each entity waits for the next."""

    def __init__(self, view: StreamView, folder: Path) -> None:
        self._key = view.key
        self._dtype = view.view.row_dtype
        self._fold = view.fold()
        self._newest: dict[str, Version] = {}
        self._done: list[tuple[str, Version]] = []
        self._schema = _schema(view)
        path = view.table(folder).files
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def add(self, ids: Mapping[str, str], event: UserEvent) -> None:
        entity = ids[self._key]
        after = self._fold.added(entity, event)
        if after is None:
            return
        before = self._newest.get(entity)
        self._newest[entity] = after
        if before is not None and before[:2] != after[:2]:
            self._done.append((entity, before))
            if len(self._done) >= _CHUNK_ROWS:
                self._flush()

    def close(self) -> None:
        self._done.extend(self._newest.items())
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        rows = [row for _, row in self._done]
        values = np.frombuffer(b"".join(row.body for row in rows), self._dtype)
        columns = [np.ascontiguousarray(values[name]) for name in _names(self._dtype)]
        arrays = [
            pa.array([entity for entity, _ in self._done], pa.string()),
            pa.array([row.event_timestamp for row in rows], pa.int64()),
            pa.array([row.created_timestamp for row in rows], pa.int64()),
            *(pa.array(column) for column in columns),
        ]
        self._writer.write_table(pa.table(arrays, schema=self._schema))
        self._done.clear()


def _schema(view: StreamView) -> pa.Schema:
    times = (EVENT_TIMESTAMP, CREATED_TIMESTAMP)
    dtype = view.view.row_dtype
    return pa.schema(
        [
            (view.key, pa.string()),
            *((name, pa.int64()) for name in times),
            *((name, pa.from_numpy_dtype(dtype[name])) for name in _names(dtype)),
        ]
    )


def _names(dtype: np.dtype[Any]) -> tuple[str, ...]:
    return dtype.names or ()
