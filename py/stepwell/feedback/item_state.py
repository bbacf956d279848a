"""What the log says of items: decayed counts by item, and what a release adds to them.

The state is a pure function of the log's events in their order, whatever the steps in
which they are folded. It knows items by their keys, so that it outlives a release; a
release's own counts, as of its training data, are added when they are asked for.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import DataLossError
from stepwell.feedback.logged_events import event_in
from stepwell.feedback.stream_fold import add_decayed
from stepwell.schema.feature_registry import (
    ITEM_ACTIVITY,
    ITEM_ACTIVITY_HALF_LIVES,
    ITEM_ACTIVITY_TYPES,
)
from stepwell.schema.vocabulary import KeyArray, entity_key
from stepwell.stores.event_log import StoredEvent

ItemRows = npt.NDArray[Any]
"""Rows [n] of ITEM_ACTIVITY.row_dtype."""

MAX_ITEMS = 1_000_000
"""Items that a state knows at most; later ones are left out and counted."""

KINDS = {int(kind): place for place, kind in enumerate(ITEM_ACTIVITY_TYPES)}
_HALF_LIVES = tuple(ITEM_ACTIVITY_HALF_LIVES.values())
_NUM_COUNTS = len(KINDS) * len(_HALF_LIVES)
_BODY = struct.Struct(f"<{_NUM_COUNTS}f{len(KINDS)}q")
_ENTRY = np.dtype([("key", "<u8"), ("row", ITEM_ACTIVITY.row_dtype)])
MAX_STATE_BYTES = MAX_ITEMS * _ENTRY.itemsize
"""Of a packed state."""
_NAMES = tuple(kind.name.lower() for kind in ITEM_ACTIVITY_TYPES)
_FIRST_CAPACITY = 1_024


class ItemState:
    """Counts of the items that events were about. Concurrency: one thread."""

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        self._entries = np.zeros(_FIRST_CAPACITY, _ENTRY)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def keys(self) -> KeyArray:
        """uint64 [n], in the order in which items were first seen; a view."""
        keys: KeyArray = self._entries["key"][: len(self)]
        return keys

    @property
    def rows(self) -> ItemRows:
        """The rows [n] of `keys`; a view."""
        return self._entries["row"][: len(self)]

    def fold(self, key: int, kind: int, time: int) -> int:
        """Counts one event; returns its item's place, -1 when there is no more room.

        Args:
            key: `entity_key` of the item.
            kind: of ITEM_ACTIVITY_TYPES.
            time: unix seconds; events may come late, in any order.
        Cost: about 5 us.
        """
        slot = self._slots.get(key)
        if slot is None:
            if len(self._slots) >= MAX_ITEMS:
                return -1
            slot = self._added(key)
        # A row is packed: numbers in, numbers out, rounded as they are stored.
        offset = slot * _ENTRY.itemsize + _ENTRY.fields["row"][1]  # type: ignore[index]
        memory = self._entries.data.cast("B")
        fields = list(_BODY.unpack_from(memory, offset))
        place = KINDS[kind]
        last = fields[_NUM_COUNTS + place]
        start = place * len(_HALF_LIVES)
        add_decayed(fields, start, _HALF_LIVES, time - last, 1.0)
        fields[_NUM_COUNTS + place] = max(last, time)
        _BODY.pack_into(memory, offset, *fields)
        return slot

    def fold_lines(self, lines: Sequence[StoredEvent]) -> tuple[list[int], int]:
        """Counts what lines of the log say of items.

        Returns:
            The places of the items that changed, in order, each once; and the number
            of events for whose items there was no room.
        """
        folded = [self.fold(*event) for event in filter(None, map(item_event, lines))]
        return sorted({slot for slot in folded if slot >= 0}), folded.count(-1)

    def packed(self) -> bytes:
        """Returns all keys and rows, in order; the same bytes for the same events."""
        return self._entries[: len(self)].tobytes()

    @classmethod
    def unpacked(cls, blob: bytes) -> "ItemState":
        """Reads what `packed` wrote; DataLossError for what it did not."""
        if len(blob) % _ENTRY.itemsize:
            raise DataLossError(
                f"{len(blob)} bytes are no entries of {_ENTRY.itemsize} bytes"
            )
        state = cls()
        state._entries = np.frombuffer(bytearray(blob), _ENTRY)
        keys = state._entries["key"].tolist()
        state._slots = {key: slot for slot, key in enumerate(keys)}
        if len(state._slots) != len(keys):
            raise DataLossError("an item's state names a key twice")
        return state

    def _added(self, key: int) -> int:
        slot = len(self._slots)
        if slot == len(self._entries):
            grown = np.zeros(max(2 * slot, _FIRST_CAPACITY), _ENTRY)
            grown[:slot] = self._entries
            self._entries = grown
        self._entries[slot]["key"] = key
        self._slots[key] = slot
        return slot


def item_event(line: StoredEvent) -> tuple[int, int, int] | None:
    """Returns what a line of the log says of an item, as `ItemState.fold` takes it.

    None for a line that says nothing, such as an impression or one that is damaged.
    """
    event = event_in(line)
    if event is None or event.event_type not in KINDS:
        return None
    return entity_key(event.item_id), event.event_type, event.event_time_seconds


def merged(base: ItemRows, seen: ItemRows) -> ItemRows:
    """Returns rows [n] with the counts of both, each as of the newer last time.

    Decayed sums of different events add: decay both to one time, then add.
    """
    out = np.empty(len(base), ITEM_ACTIVITY.row_dtype)
    for name in _NAMES:
        field = f"{name}_last_time"
        last = np.maximum(base[field], seen[field])
        for ending, half_life in ITEM_ACTIVITY_HALF_LIVES.items():
            count = f"{name}_decayed_{ending}"
            out[count] = sum(
                part[count] * np.exp2((part[field] - last) / half_life)
                for part in (base, seen)
            )
        out[field] = last
    return out


def decayed_to(rows: ItemRows, field: str, now_seconds: int) -> npt.NDArray[np.float64]:
    """Returns float64 [n], one count of the rows decayed to now.

    Args:
        field: such as "purchase_decayed_1d".
    """
    kind, ending = field.split("_decayed_")
    age = np.maximum(now_seconds - rows[f"{kind}_last_time"], 0)
    decay = np.exp2(-age / ITEM_ACTIVITY_HALF_LIVES[ending])
    counts: npt.NDArray[np.float64] = rows[field] * decay
    return counts
