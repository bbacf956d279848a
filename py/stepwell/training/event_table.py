"""What the importer hands on: events in columns, items and users beside them."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stepwell.schema.vocabulary import Vocabulary

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """A categorical column: codes int32 [N] into `names`; code 0 is unknown ("")."""

    codes: npt.NDArray[np.int32]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ItemTable:
    """What is known of every item of an EventTable, in its rows.

    Attributes:
        display_names: N names to show; the id where there is none.
        categories: categorical columns by name.
        numbers: float32 [N] by name, NaN where unknown.
    """

    display_names: list[str]
    categories: dict[str, CategoryColumn] = field(default_factory=dict)
    numbers: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PromotionTable:
    """When an item was promoted, and how widely; P rows sorted by start.

    Attributes:
        item_rows: int32 [P], rows of the event table's items.
        start_times, end_times: int64 [P], unix seconds, end exclusive.
        display_share, mailer_share: float32 [P], part of the shops, 0..1.
    """

    item_rows: npt.NDArray[np.int32]
    start_times: IntArray
    end_times: IntArray
    display_share: npt.NDArray[np.float32]
    mailer_share: npt.NDArray[np.float32]

    @classmethod
    def empty(cls) -> "PromotionTable":
        """No promotions are known."""
        none = np.zeros(0, np.float32)
        rows, times = np.zeros(0, np.int32), np.zeros(0, np.int64)
        return cls(rows, times, times, none, none)


@dataclass(frozen=True, slots=True)
class EventTable:
    """E accepted events of U users on N items, sorted by time, then user, then item.

    Attributes:
        users, items: every id that has an event, sorted; their rows are used below.
        user_rows, item_rows: int32 [E].
        times: int64 [E], unix seconds.
        types: int8 [E], values of EventType.
        values: float32 [E], money or rating, 0 where there is none.
        positions: int16 [E], 0-based place in the answer, -1 where unknown.
        request_rows: int32 [E], rows into `request_ids`, -1 where unknown.
        request_ids: the answers that events refer to.
        user_segments: int32 [U], rows into `segment_names`; 0 is unknown ("").
        segment_names: "" first.
        item_table: columns of the items.
        promotions: when items were promoted.

    Concurrency: immutable.
    """

    users: Vocabulary
    items: Vocabulary
    user_rows: npt.NDArray[np.int32]
    item_rows: npt.NDArray[np.int32]
    times: IntArray
    types: npt.NDArray[np.int8]
    values: npt.NDArray[np.float32]
    positions: npt.NDArray[np.int16]
    request_rows: npt.NDArray[np.int32]
    request_ids: list[str]
    user_segments: npt.NDArray[np.int32]
    segment_names: tuple[str, ...]
    item_table: ItemTable
    promotions: PromotionTable

    def __len__(self) -> int:
        return len(self.times)
