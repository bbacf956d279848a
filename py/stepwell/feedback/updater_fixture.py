"""Events to fold, an updater to fold them, and a store that dies of it."""

from stepwell.base.clock import FakeClock
from stepwell.base.errors import UnavailableError
from stepwell.base.metrics import Metrics
from stepwell.feedback.logged_events import event_record
from stepwell.feedback.user_history_updater import (
    USER_HISTORY_VIEW,
    UpdaterOptions,
    UserHistoryUpdater,
)
from stepwell.schema.history_row import history_of_row
from stepwell.schema.user_history import UserHistory
from stepwell.stores.event_log import EventRecord
from stepwell.stores.key_value_store import Guard, KeyValueStore
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import common_pb2, feedback_pb2

DAY = 86_400


def purchase(
    number: int,
    user: str,
    item: str,
    time: int,
    kind: common_pb2.EventType = common_pb2.EVENT_TYPE_PURCHASE,
) -> EventRecord:
    """The line of an event that was taken in at the second when it happened."""
    event = feedback_pb2.Event(
        event_id=f"e{number}",
        user_id=user,
        item_id=item,
        event_type=kind,
        event_time_seconds=time,
        value=2.5,
    )
    return event_record(event, time * 1_000_000)


def history_of(store: KeyValueStore, user: str) -> UserHistory:
    """The stored history; an empty one for a user without."""
    (blob,) = store.get_many(USER_HISTORY_VIEW, [user])
    return history_of_row(blob) if blob else UserHistory.empty()


def updater_of(log: LmdbEventLog, store: KeyValueStore) -> UserHistoryUpdater:
    """An updater whose steps are of three lines."""
    options = UpdaterOptions(batch_lines=3)
    return UserHistoryUpdater(log, store, FakeClock(), Metrics(), options)


class DyingStore:
    """A store that fails before or after its n-th guarded write, once."""

    def __init__(self, store: KeyValueStore, dies_at: int, written: bool) -> None:
        self._store = store
        self._left = dies_at
        self._written = written
        self.get_many = store.get_many
        self.get_rows = store.get_rows
        self.put_many = store.put_many
        self.close = store.close

    def write_if(self, guard: Guard, changes: dict[str, dict[str, bytes]]) -> bool:
        self._left -= 1
        if self._left == 0 and not self._written:
            raise UnavailableError("died before the write")
        done = self._store.write_if(guard, changes)
        if self._left == 0:
            raise UnavailableError("died after the write")
        return done
