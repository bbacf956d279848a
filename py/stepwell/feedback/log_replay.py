"""Folds the log again from its start and compares what comes of it with the store."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from stepwell.base.clock import Clock
from stepwell.base.errors import FailedPreconditionError
from stepwell.base.metrics import Metrics
from stepwell.feedback.item_activity import ItemActivity
from stepwell.feedback.logged_events import (
    OnProgress,
    check_whole,
    end_of_followed,
    event_in,
    lines_between,
)
from stepwell.feedback.user_history_updater import (
    CONSUMER,
    OFFSETS_VIEW,
    STREAM_VIEWS,
    UpdaterOptions,
    UserHistoryUpdater,
    packed_offset,
)
from stepwell.feedback.user_state_file import UserStateFile
from stepwell.feedback.user_state_import import import_user_state
from stepwell.schema.events import EventType
from stepwell.stores.event_log import EventLog
from stepwell.stores.key_value_store import KeyValueStore

_BATCH_LINES = 2_000
_BATCH_USERS = 256
_MAX_PASSES = 5
MAX_NAMED = 10


@dataclass(slots=True)
class ReplayReport:
    """What a replay found.

    Attributes:
        num_lines: of the log, folded again.
        num_users: whose rows were compared.
        num_rows: of them that both have, or either.
        num_different: rows that are not the same bytes, or are missing in one.
        different: (view, user) of the first of those.
        items_same: whether the items' snapshot is what the log says up to its offset;
            None where the store has none.
    """

    num_lines: int = 0
    num_users: int = 0
    num_rows: int = 0
    num_different: int = 0
    different: list[tuple[str, str]] = field(default_factory=list)
    items_same: bool | None = None

    @property
    def identical(self) -> bool:
        """Whether the store is what the log makes, byte for byte."""
        return not self.num_different and self.items_same is not False


class LogReplay:
    """A log, the store that follows it, and an empty store to do it again in.

    Args:
        log: read from its start; not one line may have been forgotten.
        store: what the updater wrote; only read.
        scratch: empty.
        state: what the store began with by import; None where it began empty.

    Concurrency: one thread. The store's updater may go on meanwhile.
    """

    def __init__(
        self,
        log: EventLog,
        store: KeyValueStore,
        scratch: KeyValueStore,
        clock: Clock,
        state: UserStateFile | None = None,
    ) -> None:
        self._event_log = log
        self._store = store
        self._scratch = scratch
        self._clock = clock
        self._state = state

    def run(
        self, history_types: Collection[EventType], on_progress: OnProgress
    ) -> ReplayReport:
        """Folds and compares.

        Args:
            history_types: what the store's updater folds into histories.
        Raises:
            FailedPreconditionError: the log has forgotten lines or is not the one that
                the store follows; or its updater is paused or does not hold still.
        """
        check_whole(self._event_log)
        if self._state is not None:
            import_user_state(self._state, self._scratch)
        # From the start: who is not in the imported state has all of the log's events.
        self._scratch.put_many(OFFSETS_VIEW, {CONSUMER: packed_offset(0)})
        options = UpdaterOptions(history_types, _BATCH_LINES)
        metrics = Metrics()
        log, store, clock = self._event_log, self._store, self._clock
        there = UserHistoryUpdater(log, store, clock, metrics)
        again = UserHistoryUpdater(log, self._scratch, clock, metrics, options)
        for _ in range(_MAX_PASSES):
            offset = _offset_of(there)
            end_of_followed(self._event_log, offset)
            self._fold(again, offset, on_progress)
            report = self._compared(offset)
            if _offset_of(there) == offset:
                report.items_same = self._items_same()
                return report
        raise FailedPreconditionError(
            "events come faster than they are compared: stop the server, or its callers"
        )

    def _fold(
        self, again: UserHistoryUpdater, offset: int, on_progress: OnProgress
    ) -> None:
        done = again.next_offset() or 0
        while done < offset:
            done = min(done + _BATCH_LINES, offset)
            again.catch_up(done)
            on_progress(done, offset)

    def _compared(self, offset: int) -> ReplayReport:
        everyone = self._users(offset)
        report = ReplayReport(num_lines=offset, num_users=len(everyone))
        for start in range(0, len(everyone), _BATCH_USERS):
            users = everyone[start : start + _BATCH_USERS]
            for view in STREAM_VIEWS:
                stored = self._store.get_many(view.name, users)
                folded = self._scratch.get_many(view.name, users)
                for user, one, other in zip(users, stored, folded, strict=True):
                    report.num_rows += one is not None or other is not None
                    if one != other:
                        report.num_different += 1
                        report.different.append((view.name, user))
            del report.different[MAX_NAMED:]
        return report

    def _users(self, offset: int) -> list[str]:
        """Every user once: those of the imported state, and those of the log."""
        known: dict[str, None] = {}
        if self._state is not None:
            for batch in self._state.batches(_BATCH_USERS):
                known.update(dict.fromkeys(batch))
        known.update(dict.fromkeys(self._logged_users(offset)))
        return list(known)

    def _logged_users(self, offset: int) -> Iterator[str]:
        for lines, _ in lines_between(self._event_log, 0, offset):
            events = (event_in(line) for line in lines)
            yield from (event.user_id for event in events if event is not None)

    def _items_same(self) -> bool | None:
        metrics = Metrics()
        items = ItemActivity(self._event_log, self._store, self._clock, metrics)
        kept = items.kept()
        if kept is None:
            return None
        items.catch_up(up_to=kept[0])
        return items.packed() == kept[1]


def _offset_of(updater: UserHistoryUpdater) -> int:
    offset = updater.next_offset()
    if offset is None:
        raise FailedPreconditionError(
            "the store is being replaced by an import: replay when it is done"
        )
    return offset
