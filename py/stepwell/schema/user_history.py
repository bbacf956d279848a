"""A user's history: what the user did with each item, in one packed blob.

The one definition that training, the stream updater and the request path share:
training folds events with `from_events`, the updater adds one with `applied`, and the
request path reads the blob with `unpack`.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import DataLossError, InvalidArgumentError
from stepwell.schema.vocabulary import KeyArray

HALF_LIFE_SECONDS = 30 * 86_400
"""Half-life of `decayed_count`: a month, four shopping cycles of a weekly household."""

MAX_ITEMS = 4_096
"""Distinct items kept, the most recent ones: about 160 KiB at most."""

_MAGIC = b"SWUH"
_FORMAT_VERSION = 1
# magic, version, segment bytes, items, events, trips, first and last event time
_HEADER = struct.Struct("<4sHHIqqqq")
_COLUMNS: tuple[tuple[str, str], ...] = (
    ("keys", "<u8"),
    ("num_purchases", "<i4"),
    ("first_time", "<i8"),
    ("last_time", "<i8"),
    ("decayed_count", "<f4"),
    ("total_value", "<f4"),
)

_DTYPES = tuple(np.dtype(dtype) for _, dtype in _COLUMNS)
_ROW_BYTES = sum(dtype.itemsize for dtype in _DTYPES)

_Item = tuple[int, int, int, int, float, float]
"""One item's part of each of _COLUMNS."""

Columns = dict[str, Any]
"""Arrays by column name, those of _COLUMNS."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class UserHistory:
    """Columns over a user's H distinct items, most recent first, ties by higher key.

    Attributes:
        keys: uint64 [H], `entity_key` of the items.
        num_purchases: int32 [H], positive events on the item.
        first_time, last_time: int64 [H], unix seconds.
        decayed_count: float32 [H], sum over events of 2^-((last_time - t) / 30 days).
        total_value: float32 [H], sum of the events' values.
        num_events: events folded in, also of items no longer kept.
        num_trips: distinct event times; late events of a known trip may count again.
        first_event_time, last_event_time: unix seconds; 0 when empty.
        segment: the user's segment, "" when unknown; at most 256 bytes.

    Concurrency: immutable.
    """

    keys: KeyArray
    num_purchases: npt.NDArray[np.int32]
    first_time: IntArray
    last_time: IntArray
    decayed_count: FloatArray
    total_value: FloatArray
    num_events: int = 0
    num_trips: int = 0
    first_event_time: int = 0
    last_event_time: int = 0
    segment: str = ""

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def empty(cls, segment: str = "") -> "UserHistory":
        """A user of whom nothing is known but perhaps the segment."""
        columns: Columns = {name: np.zeros(0, dtype) for name, dtype in _COLUMNS}
        return cls(**columns, segment=segment)

    @classmethod
    def from_events(
        cls,
        keys: KeyArray,
        times: IntArray,
        values: FloatArray | None = None,
        segment: str = "",
    ) -> "UserHistory":
        """Folds a user's events at once.

        Args:
            keys: uint64 [E], the item of each event, any order.
            times: int64 [E], unix seconds.
            values: float32 [E], each >= 0; zeros when None.
            segment: the user's segment.
        Returns:
            What `applied` gives event by event in time order, up to float rounding.
        Cost: one sort, O(E log E).
        """
        if not len(keys):
            return cls.empty(segment)
        if values is None:
            values = np.zeros(len(keys), np.float32)
        order = np.lexsort((times, keys))
        keys, times, values = keys[order], times[order], values[order]
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        counts = np.diff(np.r_[starts, len(keys)])
        last = times[starts + counts - 1]
        decay = np.exp2((times - np.repeat(last, counts)) / HALF_LIFE_SECONDS)
        columns: Columns = {
            "keys": keys[starts],
            "num_purchases": counts.astype(np.int32),
            "first_time": times[starts].astype(np.int64),
            "last_time": last.astype(np.int64),
            "decayed_count": np.add.reduceat(decay, starts).astype(np.float32),
            "total_value": np.add.reduceat(values, starts).astype(np.float32),
        }
        return cls(
            **_most_recent_first(columns),
            num_events=len(keys),
            num_trips=len(np.unique(times)),
            first_event_time=int(times.min()),
            last_event_time=int(times.max()),
            segment=segment,
        )

    def applied(self, key: int, time: int, value: float = 0.0) -> "UserHistory":
        """Returns this history with one more event; late events are welcome.

        Cost: O(H).
        """
        found = np.flatnonzero(self.keys == np.uint64(key))
        row = int(found[0]) if len(found) else None
        item = self._item_after(row, key, time, value)
        place = self._place_of(row, item)
        first = self.first_event_time if self.num_events else time
        # In the order of the fields: names take as long as the arrays.
        fields: list[Any] = [
            _moved(column, row, place, part)
            for column, part in zip(self._columns(), item, strict=True)
        ]
        fields += [
            self.num_events + 1,
            self.num_trips + (time != self.last_event_time),
            min(first, time),
            max(self.last_event_time, time),
            self.segment,
        ]
        return UserHistory(*fields)

    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        return (
            self.keys,
            self.num_purchases,
            self.first_time,
            self.last_time,
            self.decayed_count,
            self.total_value,
        )

    def _item_after(self, row: int | None, key: int, time: int, value: float) -> _Item:
        """Returns the columns of an item after one more event on it."""
        if row is None:
            return key, 1, time, time, 1.0, value
        last, decayed = int(self.last_time[row]), float(self.decayed_count[row])
        decay = 2.0 ** (-abs(time - last) / HALF_LIFE_SECONDS)
        return (
            key,
            int(self.num_purchases[row]) + 1,
            min(int(self.first_time[row]), time),
            max(last, time),
            decayed * decay + 1 if time > last else decayed + decay,
            float(self.total_value[row] + np.float32(value)),
        )

    def _place_of(self, row: int | None, item: _Item) -> int:
        """Returns the row that an item belongs in: how many others stand before it."""
        key, last = np.uint64(item[0]), item[3]
        if not len(self) or last > self.last_time[0]:
            return 0
        before = self.last_time > last
        before |= (self.last_time == last) & (self.keys > key)
        if row is not None:
            before[row] = False
        return int(np.count_nonzero(before))

    def decayed_counts(
        self, now: int, half_life_seconds: float = HALF_LIFE_SECONDS
    ) -> FloatArray:
        """Returns float32 [H]: `decayed_count` decayed on from last_time to `now`.

        `half_life_seconds` applies from last_time on; before it the stored month holds.
        """
        age = np.maximum(now - self.last_time, 0)
        decay = np.exp2(-age / half_life_seconds)
        return np.asarray(self.decayed_count * decay, np.float32)

    def pack(self) -> bytes:
        """Returns the stored form: header, segment, columns, little-endian."""
        segment = self.segment.encode()
        if len(segment) > 256:
            raise InvalidArgumentError(
                f"segment has {len(segment)} bytes, must be in [0, 256]", "segment"
            )
        header = _HEADER.pack(
            _MAGIC,
            _FORMAT_VERSION,
            len(segment),
            len(self),
            self.num_events,
            self.num_trips,
            self.first_event_time,
            self.last_event_time,
        )
        columns = [getattr(self, name).astype(dtype) for name, dtype in _COLUMNS]
        return b"".join([header, segment, *(column.tobytes() for column in columns)])

    @classmethod
    def unpack(cls, blob: bytes) -> "UserHistory":
        """Reads what `pack` wrote; arrays are views of `blob`.

        Raises:
            DataLossError: not such a blob, another version, or a wrong length.
        """
        if len(blob) < _HEADER.size or blob[:4] != _MAGIC:
            raise DataLossError(f"no user history in a blob of {len(blob)} bytes")
        _, version, segment_bytes, num_items, *scalars = _HEADER.unpack_from(blob)
        expected = _HEADER.size + segment_bytes + num_items * _ROW_BYTES
        if version != _FORMAT_VERSION or len(blob) != expected:
            raise DataLossError(
                f"user history version {version} with {num_items} items has "
                f"{len(blob)} bytes, must be version {_FORMAT_VERSION}, {expected}"
            )
        offset = _HEADER.size + segment_bytes
        columns: list[Any] = []
        for dtype in _DTYPES:
            columns.append(np.frombuffer(blob, dtype, num_items, offset))
            offset += num_items * dtype.itemsize
        try:
            segment = blob[_HEADER.size : _HEADER.size + segment_bytes].decode()
        except UnicodeDecodeError as error:
            raise DataLossError(f"user history: segment: {error}") from error
        # In the order of the fields: names take as long as the arrays.
        fields = (*columns, *scalars, segment)
        return cls(*fields)


def _most_recent_first(
    columns: Columns,
) -> Columns:
    order = np.lexsort((columns["keys"], columns["last_time"]))[::-1][:MAX_ITEMS]
    return {name: column[order] for name, column in columns.items()}


def _moved(
    column: npt.NDArray[Any], row: int | None, place: int, part: float
) -> npt.NDArray[Any]:
    """Returns a column with an item's part at `place`; it stood at `row`, or nowhere.

    An item moves forward only: its last time never falls. One that would stand behind
    MAX_ITEMS others is not kept.
    """
    if row is None:
        moved = np.empty(min(len(column) + 1, MAX_ITEMS), column.dtype)
        moved[:place] = column[:place]
        moved[place + 1 :] = column[place : len(moved) - 1]
    else:
        moved = column.copy()
        moved[place + 1 : row + 1] = column[place:row]
    if place < len(moved):
        moved[place] = part
    return moved
