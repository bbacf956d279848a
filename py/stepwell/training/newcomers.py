"""Users as one who has just met them: the rows of their last few events alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stepwell.base.clock import SystemClock
from stepwell.schema.events import HISTORY_EVENT_TYPES
from stepwell.schema.feature_registry import USER_ACTIVITY, USER_HISTORY
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.history_row import history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.writer_watermark import WriterWatermark
from stepwell.stores.key_value_store import WATERMARK_VIEW
from stepwell.training.rows_as_of import Events, activity_rows
from stepwell.training.split import Snapshot

NUM_KNOWN_EVENTS = (0, 1, 2, 5, 10, 20)
"""How many events a newcomer may have; a user with fewer has those."""


@dataclass(frozen=True, slots=True)
class NewcomerStore:
    """The store as it is when one user has come lately: rows by view, no profile."""

    blobs: Mapping[str, bytes]

    def get_rows(
        self,
        rows: Sequence[tuple[str, str]],
        timeout_us: int | None = None,  # noqa: ARG002 - the protocol's
    ) -> list[bytes | None]:
        """Answers for that user, whatever the key; the writers live."""
        now = WriterWatermark(SystemClock().wall_us(), 0).pack()
        return [
            now if view == WATERMARK_VIEW else self.blobs.get(view) for view, _ in rows
        ]


class Newcomers:
    """Finds the last events of a snapshot's users.

    Concurrency: read-only after construction. Cost: a sort of the events.
    """

    def __init__(self, known: Snapshot) -> None:
        self._table = known.table
        self._events = Events.before(known)
        kinds = [int(kind) for kind in HISTORY_EVENT_TYPES]
        kept = np.flatnonzero(np.isin(self._events.types, kinds))
        users = self._events.entities[kept]
        # Times ascend, and the sort is stable: each user's newest is the last.
        self._order = kept[np.argsort(users, kind="stable")]
        counts = np.bincount(users, minlength=known.num_users)
        self._ends = np.cumsum(counts)
        self._starts = self._ends - counts

    def store(self, user_row: int, num_events: int) -> NewcomerStore:
        """Returns what is stored of a user after the last `num_events` events.

        Cost: about 0.3 ms.
        """
        end = int(self._ends[user_row])
        start = max(int(self._starts[user_row]), end - num_events)
        if start == end:
            return NewcomerStore({})
        last = self._order[start:end]
        times, values = self._events.times[last], self._events.values[last]
        keys = self._table.items.keys[self._table.item_rows[last]]
        alone = Events(
            np.zeros(len(last), np.int32), self._events.types[last], times, values
        )
        newest = int(times[-1])
        activity = FeatureRow.of(
            USER_ACTIVITY,
            activity_rows(alone, 1).reshape(()),
            newest,
            newest * 1_000_000,
        )
        history = history_row(UserHistory.from_events(keys, times, values))
        return NewcomerStore(
            {USER_HISTORY.name: history.pack(), USER_ACTIVITY.name: activity.pack()}
        )
