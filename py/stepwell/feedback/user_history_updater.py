"""From the event log to online user state, each event exactly once."""

import struct
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog

from stepwell.base.errors import DataLossError, StepwellError
from stepwell.base.metric_names import EVENTS_APPLIED, EVENTS_SKIPPED
from stepwell.base.metrics import Metrics
from stepwell.feedback.logged_events import IMPRESSION_PREFIX, decoded
from stepwell.schema.events import HISTORY_EVENT_TYPES, EventType
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import entity_key
from stepwell.stores.event_log import EventLog, StoredEvent
from stepwell.stores.key_value_store import Guard, KeyValueStore
from stepwell_pb.v1 import feedback_pb2

_log = structlog.get_logger(__name__)

USER_HISTORY_VIEW = "user_history"
"""View of packed UserHistory blobs by user id."""
OFFSETS_VIEW = "consumer_offsets"
"""View of the next offset of each consumer whose state lies in the same store."""
USER_OFFSETS_VIEW = "user_history_offset"
"""View of the offset up to which a user's own history has the log's events."""
CONSUMER = "user_history"
_OFFSET = struct.Struct("<q")
_PAUSED = -1
_MAX_GUARD_LOSSES = 10
DEFAULT_BATCH_LINES = 2_000


def packed_offset(offset: int) -> bytes:
    """Returns the stored form of a consumer's next offset."""
    return _OFFSET.pack(offset)


def unpacked_offset(blob: bytes | None) -> int:
    """Returns a consumer's next offset; 0 where none was stored yet."""
    return 0 if blob is None else int(_OFFSET.unpack(blob)[0])


def paused_offset() -> bytes:
    """Returns what stands in place of the offset while state is being replaced."""
    return _OFFSET.pack(_PAUSED)


@dataclass(frozen=True, slots=True)
class _Change:
    offset: int
    key: int
    time: int
    value: float


class UserHistoryUpdater:
    """Folds events into UserHistory blobs.

    The next offset lies in the store beside the state and changes in the same atomic
    write, guarded by its old value: a crash repeats nothing and loses nothing, and of
    two updaters at once one wins each step. Order is the log's, so that a replay from
    the start gives byte-identical state.

    Args:
        history_types: the events to fold, see `fold_only`; None leaves the log alone
            until it is told.

    Concurrency: thread-safe; `catch_up` runs in the caller's thread, one at a time.
    Cost: about 80 us an event of a user with 100 items.
    """

    def __init__(
        self,
        log: EventLog,
        store: KeyValueStore,
        metrics: Metrics,
        batch_lines: int = DEFAULT_BATCH_LINES,
        history_types: Collection[EventType] | None = HISTORY_EVENT_TYPES,
    ) -> None:
        self._event_log = log
        self._store = store
        self._metrics = metrics
        self._batch_lines = batch_lines
        self._history_types = history_types
        self._lock = threading.Lock()

    def fold_only(self, history_types: Collection[EventType]) -> None:
        """Folds events of these types from now on and passes the others by.

        What was folded stays: state that a release's models should see otherwise comes
        with that release, by import.
        """
        # No lock: a replay, which holds it, may take long. It follows at its next step.
        self._history_types = history_types

    def catch_up(self) -> int:
        """Applies all events there are when it is called.

        Returns:
            Offsets of the log that it went past, impressions among them.

        Raises:
            UnavailableError: the log or the store does not answer; try again.
        """
        num_read = 0
        if self._history_types is None:
            return 0
        with self._lock:
            end = self._event_log.end_offset()
            while (step := self._step(end)) > 0:
                num_read += step
        return num_read

    def next_offset(self) -> int | None:
        """Returns the first offset not yet applied; None while state is replaced."""
        offset = unpacked_offset(self._offset_blob())
        return None if offset == _PAUSED else offset

    def _step(self, end: int) -> int:
        for _ in range(_MAX_GUARD_LOSSES):
            before = self._offset_blob()
            offset = unpacked_offset(before)
            if offset == _PAUSED or offset >= end:
                return 0
            # What was shown is most of the log and none of the state.
            events, next_offset = self._event_log.read_except(
                IMPRESSION_PREFIX, offset, self._batch_lines
            )
            if next_offset == offset:
                return 0
            end_of_step = packed_offset(next_offset)
            changes, num_applied = self._updated(events, end_of_step)
            changes[OFFSETS_VIEW] = {CONSUMER: end_of_step}
            if self._store.write_if(Guard(OFFSETS_VIEW, CONSUMER, before), changes):
                self._metrics.add(EVENTS_APPLIED, amount=num_applied)
                return next_offset - offset
        return 0  # another updater is faster; it does the work

    def _updated(
        self, events: Sequence[StoredEvent], end_of_step: bytes
    ) -> tuple[dict[str, dict[str, bytes]], int]:
        changes = self._changes_by_user(events)
        users = list(changes)
        blobs = self._store.get_many(USER_HISTORY_VIEW, users)
        offsets = self._store.get_many(USER_OFFSETS_VIEW, users)
        histories: dict[str, bytes] = {}
        num_applied = 0
        for user, blob, offset in zip(users, blobs, offsets, strict=True):
            # An import may have set the log back while this user's state is newer.
            first = unpacked_offset(offset)
            due = [change for change in changes[user] if change.offset >= first]
            try:
                history = UserHistory.unpack(blob) if blob else UserHistory.empty()
            except DataLossError as error:
                self._skip(f"history of {user}", error, len(due))
                continue
            for change in due:
                history = history.applied(change.key, change.time, change.value)
            histories[user] = history.pack()
            num_applied += len(due)
        user_offsets = dict.fromkeys(histories, end_of_step)
        return {
            USER_HISTORY_VIEW: histories,
            USER_OFFSETS_VIEW: user_offsets,
        }, num_applied

    def _changes_by_user(
        self, events: Sequence[StoredEvent]
    ) -> dict[str, list[_Change]]:
        kinds = {int(kind) for kind in self._history_types or ()}
        changes: dict[str, list[_Change]] = {}
        for stored in events:
            try:
                event = decoded(stored).event
            except DataLossError as error:
                self._skip(f"event {stored.offset}", error, 1)
                continue
            if not isinstance(event, feedback_pb2.Event):
                continue
            if event.event_type in kinds:
                key = entity_key(event.item_id)
                time = event.event_time_seconds
                change = _Change(stored.offset, key, time, event.value)
                changes.setdefault(event.user_id, []).append(change)
        return changes

    def _skip(self, what: str, error: StepwellError, number: int) -> None:
        self._metrics.add(EVENTS_SKIPPED, amount=number)
        _log.error("events skipped", what=what, number=number, error=str(error))

    def _offset_blob(self) -> bytes | None:
        return self._store.get_many(OFFSETS_VIEW, [CONSUMER])[0]
