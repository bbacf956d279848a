"""Keeps the counts of items caught up with the log, for the releases of a process."""

import math
import struct
import threading
import weakref

import structlog

from stepwell.base.clock import Clock
from stepwell.base.errors import DataLossError
from stepwell.base.metric_names import ITEMS_LEFT_OUT
from stepwell.base.metrics import Metrics
from stepwell.feedback.item_overlay import ItemOverlay
from stepwell.feedback.item_state import MAX_STATE_BYTES, ItemRows, ItemState
from stepwell.feedback.logged_events import end_of_followed, lines_between
from stepwell.schema.vocabulary import Vocabulary
from stepwell.stores.event_log import EventLog, StoredEvent
from stepwell.stores.key_value_store import Guard, KeyValueStore

_log = structlog.get_logger(__name__)

SNAPSHOT_VIEW = "item_activity_snapshot"
"""View of the last snapshot: its head, and parts of its bytes by number."""
HEAD = "head"
SNAPSHOT_INTERVAL_US = 60_000_000
RANKING_INTERVAL_US = 5_000_000
_HEAD = struct.Struct("<qq")  # next offset of the log, bytes of the state
_PART_BYTES = 1 << 19


class ItemActivity:
    """The items' state of one process, and the overlays that show it.

    Every process folds the log for itself, from the last snapshot on: item features are
    columns in its memory, and no request reads them from a store.

    Args:
        log: of events.
        store: keeps a snapshot, by whichever process is the first to find it a minute
            old.
        clock: of that minute, and event time for what is rising.

    Concurrency: `overlay_of` from any thread; the others from one.
    Cost: about 20 us an event, impressions next to nothing; 48 bytes an item.
    """

    def __init__(
        self, log: EventLog, store: KeyValueStore, clock: Clock, metrics: Metrics
    ) -> None:
        self._event_log = log
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._state = ItemState()
        self._next_offset = 0
        self._followed_us: int | None = None
        self._snapshot_due_us = clock.monotonic_us() + SNAPSHOT_INTERVAL_US
        self._kept_offset = 0
        self._ranking_due_us = clock.monotonic_us()
        self._lock = threading.Lock()
        self._overlays: weakref.WeakSet[ItemOverlay] = weakref.WeakSet()

    @property
    def next_offset(self) -> int:
        """The first offset of the log that is not folded in."""
        return self._next_offset

    def age_seconds(self) -> float:
        """Returns how far behind the log it is; infinite before the first look."""
        if self._followed_us is None:
            return math.inf
        return max(self._clock.wall_us() - self._followed_us, 0) / 1e6

    def overlay_of(self, vocabulary: Vocabulary, base: ItemRows) -> ItemOverlay:
        """Returns the overlay of a release; it follows the log while it is held.

        Args:
            base: rows [N] by item row, as of the release's training data; read only.
        """
        overlay = ItemOverlay(vocabulary, base)
        with self._lock:
            overlay.fill(self._state, self._next_offset)
            # At once: until its turn came, a new release would know of nothing rising.
            overlay.rank(self._clock.event_seconds())
            self._overlays.add(overlay)
        return overlay

    def kept(self) -> tuple[int, bytes] | None:
        """Returns the stored snapshot: its offset of the log and a state's bytes.

        None where there is none.

        Raises:
            DataLossError: it is damaged.
        """
        (head,) = self._store.get_many(SNAPSHOT_VIEW, [HEAD])
        return None if head is None else self._read_snapshot(head)

    def restore(self) -> bool:
        """Goes on from the stored snapshot; False where there is none that fits.

        Raises:
            UnavailableError: the store or the log does not answer.
        """
        try:
            kept = self.kept()
            if kept is None:
                return False
            next_offset, state = kept[0], ItemState.unpacked(kept[1])
        except DataLossError as error:
            _log.warning("the snapshot of items is left", error=str(error))
            return False
        if next_offset > self._event_log.end_offset():
            _log.warning("the snapshot of items is of another log")
            return False
        with self._lock:
            self._state, self._next_offset = state, next_offset
            for overlay in self._overlays:
                overlay.fill(state, next_offset)
        return True

    def packed(self) -> bytes:
        """Returns the state's bytes: the same for the same events of the log."""
        return self._state.packed()

    def catch_up(self, up_to: int | None = None) -> int:
        """Folds all events there are when it is called; returns lines gone past.

        Args:
            up_to: offset of the log to stop before; None for its end.
        Raises:
            UnavailableError: the log does not answer; try again.
            FailedPreconditionError: it ends before what was folded in: it is another
                one. Nothing is folded in.
        """
        # The time first: what came in before it lies before the end.
        now_us = self._clock.wall_us()
        start = self._next_offset
        end = end_of_followed(self._event_log, start)
        end = end if up_to is None else up_to
        for lines, next_offset in lines_between(self._event_log, start, end):
            self._step(lines, next_offset)
        self._followed_us = now_us
        return self._next_offset - start

    def keep_when_due(self) -> bool:
        """Once a minute: stores a snapshot, unless another process just did.

        Returns:
            Whether it stored one.
        Raises:
            StepwellError: the store cannot be written; tried again in a minute.
        """
        now_us = self._clock.monotonic_us()
        if now_us < self._snapshot_due_us:
            return False
        self._snapshot_due_us = now_us + SNAPSHOT_INTERVAL_US
        (head,) = self._store.get_many(SNAPSHOT_VIEW, [HEAD])
        kept, self._kept_offset = self._kept_offset, self._next_offset
        # One beyond the log's end is of another log: nobody's work is lost with it.
        if kept < _offset_in(head) <= self._next_offset:
            return False
        return self._keep(head)

    def rank_when_due(self) -> None:
        """Every few seconds: each overlay's rising items are chosen again."""
        now_us = self._clock.monotonic_us()
        if now_us < self._ranking_due_us:
            return
        self._ranking_due_us = now_us + RANKING_INTERVAL_US
        now_seconds = self._clock.event_seconds()
        with self._lock:
            for overlay in self._overlays:
                overlay.rank(now_seconds)

    def _keep(self, before: bytes | None) -> bool:
        blob = self.packed()
        head = _HEAD.pack(self._next_offset, len(blob))
        if head == before:
            return False
        starts = range(0, len(blob), _PART_BYTES)
        parts = {
            str(number): head + blob[start : start + _PART_BYTES]
            for number, start in enumerate(starts)
        }
        changes = {SNAPSHOT_VIEW: {HEAD: head, **parts}}
        return self._store.write_if(Guard(SNAPSHOT_VIEW, HEAD, before), changes)

    def _read_snapshot(self, head: bytes) -> tuple[int, bytes]:
        if len(head) != _HEAD.size:
            raise DataLossError(f"its head has {len(head)} bytes")
        next_offset, num_bytes = _HEAD.unpack(head)
        if next_offset < 0 or not 0 <= num_bytes <= MAX_STATE_BYTES:
            raise DataLossError(f"its head names {num_bytes} bytes as of {next_offset}")
        numbers = [str(number) for number in range(-(-num_bytes // _PART_BYTES))]
        parts = self._store.get_many(SNAPSHOT_VIEW, numbers)
        if any(part is None or not part.startswith(head) for part in parts):
            raise DataLossError("its parts are of different times")
        blob = b"".join(part[_HEAD.size :] for part in parts if part is not None)
        if len(blob) != num_bytes:
            raise DataLossError(f"it has {len(blob)} bytes, must have {num_bytes}")
        return next_offset, blob

    def _step(self, lines: list[StoredEvent], next_offset: int) -> None:
        with self._lock:
            slots, num_left_out = self._state.fold_lines(lines)
            self._next_offset = next_offset
            keys, rows = self._state.keys[slots], self._state.rows[slots]
            for overlay in self._overlays:
                overlay.update(keys, rows, next_offset)
        if num_left_out:
            self._metrics.add(ITEMS_LEFT_OUT, amount=num_left_out)


def _offset_in(head: bytes | None) -> int:
    """Returns the offset of a stored snapshot, -1 where there is none to read."""
    if head is None or len(head) != _HEAD.size:
        return -1
    return int(_HEAD.unpack(head)[0])
