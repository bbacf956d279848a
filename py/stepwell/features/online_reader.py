"""Reads all that is stored of a user in one round trip, and judges its freshness."""

from collections.abc import Sequence
from typing import Protocol

import structlog

from stepwell.base.deadline import Deadline
from stepwell.base.errors import DataLossError
from stepwell.base.metric_names import REFUSED_ROWS, STALE_VIEWS
from stepwell.base.metrics import Metrics
from stepwell.features.row_verdict import RowJudge, RowState, UserRows
from stepwell.schema.feature_view import FeatureView
from stepwell.schema.writer_watermark import WriterWatermark
from stepwell.stores.key_value_store import WATERMARK_VIEW

_log = structlog.get_logger(__name__)


class RowStore(Protocol):
    """What is asked of an online store; see `KeyValueStore.get_rows`."""

    def get_rows(
        self, rows: Sequence[tuple[str, str]], timeout_us: int | None = None
    ) -> list[bytes | None]:
        """Returns the blob of each (view, key) in order, None where there is none."""
        ...


class OnlineReader:
    """The online read of a request: a user's views, and their writers' watermarks.

    Args:
        store: holds packed rows in each view's name.
        views: of the user, each once.
        metrics: what is stale or refused.

    Concurrency: as safe as the store.
    Cost: one round trip, and about 10 us.
    """

    def __init__(
        self, store: RowStore, views: Sequence[FeatureView], metrics: Metrics
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._views = tuple(views)
        self._names = [view.name for view in views]
        self._judge = RowJudge(views)
        attended = [view.name for view in views if view.freshness_seconds]
        self._watermark_keys = [(WATERMARK_VIEW, name) for name in attended]
        self._told: set[tuple[str, str]] = set()

    @property
    def views(self) -> tuple[FeatureView, ...]:
        """The views it reads, in order."""
        return self._views

    def read(self, user_id: str, event_time: int, deadline: Deadline) -> UserRows:
        """Returns what the store has of the user.

        Args:
            event_time: the request's, unix seconds.
            deadline: the hop's; past it the read is given up. Its clock says what the
                writers' ages are.
        Raises:
            UnavailableError: the store does not answer, or not in time.
        """
        keys = [(name, user_id) for name in self._names]
        keys += self._watermark_keys
        blobs = self._store.get_rows(keys, max(deadline.remaining_us(), 1))
        wall_us = deadline.clock.wall_us()
        rows = self._judge.judged(blobs, user_id, event_time, wall_us)
        if not rows.is_plain:
            self._count(rows.states, blobs[len(self._views) :])
        return rows

    def replayed(self, blobs: Sequence[bytes | None], user_id: str) -> UserRows:
        """Returns rows that were used before, view by view, to be used as they are.

        Raises:
            DataLossError, SchemaMismatchError: a row is none that this version reads.
        """
        return self._judge.used(blobs, user_id)

    def _count(
        self, states: Sequence[RowState], watermarks: Sequence[bytes | None]
    ) -> None:
        for view, state in zip(self._views, states, strict=True):
            if state.is_stale:
                self._metrics.add(STALE_VIEWS, view.name, view.when_stale.value)
            elif state.is_refused:
                self._refuse(view.name, state.value, _WHY[state])
        for (_, name), blob in zip(self._watermark_keys, watermarks, strict=True):
            try:
                WriterWatermark.unpack(blob or _NO_WATERMARK)
            except DataLossError as error:
                self._refuse(name, "watermark", str(error))

    def _refuse(self, view: str, reason: str, why: str) -> None:
        self._metrics.add(REFUSED_ROWS, view, reason)
        if (view, reason) not in self._told:
            # Once: a store full of such rows would fill the log. Nor whose row it is.
            self._told.add((view, reason))
            _log.warning("a stored row is not used", view=view, reason=reason, why=why)


_WHY = {
    RowState.DAMAGED: "its bytes are not those of a row",
    RowState.OTHER_SCHEMA: "another definition of the view wrote it: publish again",
    RowState.FROM_FUTURE: "its events lie too far ahead of the request's time",
}

_NO_WATERMARK = WriterWatermark(0, 0).pack()
"""For a writer that never left one, which is nothing damaged."""
