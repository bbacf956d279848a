"""Cutting time: what was known at a moment, and what came after it."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import sparse

from stepwell.base.errors import InvalidArgumentError
from stepwell.models.history_weights import affinity_weights
from stepwell.schema.events import HISTORY_EVENT_TYPES
from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import Vocabulary
from stepwell.training.event_table import EventTable

MIN_COUNT = 5
"""Events before the cut that make an item part of the catalogue."""

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """P distinct (user, item) pairs before a cut, by user, then item.

    Attributes:
        user_rows, item_rows: int32 [P], items as rows of the catalogue.
        counts: int32 [P], events of the pair.
        first_times, last_times: int64 [P], unix seconds.
        offsets: int64 [U + 1], a user's pairs are offsets[u]:offsets[u + 1].
    """

    user_rows: npt.NDArray[np.int32]
    item_rows: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]
    first_times: IntArray
    last_times: IntArray
    offsets: IntArray

    def items_of(self, user_row: int) -> npt.NDArray[np.int32]:
        """Returns the items of one user, ascending."""
        return self.item_rows[self.offsets[user_row] : self.offsets[user_row + 1]]


@dataclass(frozen=True, slots=True)
class Targets:
    """What users did in a period after a cut: distinct pairs, by user, then item.

    Attributes:
        offsets: int64 [U + 1]; a user's targets are offsets[u]:offsets[u + 1].
        item_rows: int32 [T], rows of the catalogue.
        is_new: bool [T], the user had not done it before the cut.
    """

    offsets: IntArray
    item_rows: npt.NDArray[np.int32]
    is_new: npt.NDArray[np.bool_]

    def items_of(self, user_row: int, only_new: bool = False) -> npt.NDArray[np.int32]:
        """Returns the targets of one user, ascending."""
        span = slice(self.offsets[user_row], self.offsets[user_row + 1])
        items = self.item_rows[span]
        return items[self.is_new[span]] if only_new else items


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that was known at `cut_time`; nothing in it is later.

    Attributes:
        table: where it comes from; code that must not see the future reads the columns
            below only.
        cut_time: unix seconds; an event is in when its time is smaller.
        items: the catalogue: items with at least MIN_COUNT positive events before the
            cut, sorted by id. N of them; their rows are the rows of a release.
        table_rows: int64 [N], rows of the catalogue's items in `table.items`.
        user_rows: int32 [E], rows of `table.users`.
        item_rows: int32 [E], rows of the catalogue.
        times: int64 [E], ascending.
        values: float32 [E].
        pairs: distinct pairs of these events.
        num_user_events: int64 [U], positive events before the cut, of any item.

    Concurrency: immutable.
    """

    table: EventTable
    cut_time: int
    items: Vocabulary
    table_rows: IntArray
    user_rows: npt.NDArray[np.int32]
    item_rows: npt.NDArray[np.int32]
    times: IntArray
    values: npt.NDArray[np.float32]
    pairs: Pairs
    num_user_events: IntArray

    @property
    def num_users(self) -> int:
        """U, users of the table, also those without an event before the cut."""
        return len(self.table.users)

    @property
    def num_items(self) -> int:
        """N, items of the catalogue."""
        return len(self.items)

    def as_of(self, time: int) -> "Snapshot":
        """Returns this catalogue as known at an earlier time.

        The catalogue and its rows stay, so that a model of this snapshot can be trained
        on its past. Cost: one sort of the earlier events.
        """
        end = int(np.searchsorted(self.times, min(time, self.cut_time)))
        users, items = self.user_rows[:end], self.item_rows[:end]
        times = self.times[:end]
        return replace(
            self,
            cut_time=min(time, self.cut_time),
            user_rows=users,
            item_rows=items,
            times=times,
            values=self.values[:end],
            pairs=_pairs(users, items, times, self.num_users),
            num_user_events=np.bincount(users, minlength=self.num_users),
        )

    def affinity_matrix(self) -> sparse.csr_matrix:
        """Returns float32 [U, N] of `affinity_weights` as of the cut."""
        pairs = self.pairs
        weights = affinity_weights(
            pairs.counts, pairs.first_times, pairs.last_times, self.cut_time
        )
        return sparse.csr_matrix(
            (weights, pairs.item_rows, pairs.offsets),
            shape=(self.num_users, self.num_items),
        )

    def decayed_counts(self, half_life_days: float) -> npt.NDArray[np.float64]:
        """Returns float64 [N]: events per item, decayed to the cut."""
        age = (self.cut_time - self.times) / DAY_SECONDS
        weights = np.exp2(-age / half_life_days)
        counts = np.bincount(self.item_rows, weights, self.num_items)
        return counts.astype(np.float64)

    def distinct_buyers(self, from_time: int, to_time: int) -> IntArray:
        """Returns int64 [N]: users with an event in [from_time, to_time)."""
        last = min(to_time, self.cut_time)
        start, end = np.searchsorted(self.times, [from_time, last])
        pair = self.user_rows[start:end].astype(np.int64) * self.num_items
        distinct = np.unique(pair + self.item_rows[start:end])
        return np.bincount(distinct % self.num_items, minlength=self.num_items)

    def visit_times(self, end_time: int) -> IntArray:
        """Returns int64 [U]: each user's first event from the cut on, 0 for none.

        Args:
            end_time: unix seconds, exclusive.
        """
        table = self.table
        start, end = np.searchsorted(table.times, [self.cut_time, end_time])
        users, first = np.unique(table.user_rows[start:end], return_index=True)
        times = np.zeros(self.num_users, np.int64)
        times[users] = table.times[start:end][first]
        return times

    def targets(self, end_time: int) -> Targets:
        """Returns what users did with the catalogue in [cut_time, end_time)."""
        table = self.table
        start, end = np.searchsorted(table.times, [self.cut_time, end_time])
        users, items = table.user_rows[start:end], table.item_rows[start:end]
        of_table = np.full(len(table.items), -1, np.int64)
        of_table[self.table_rows] = np.arange(self.num_items)
        rows = of_table[items]
        kept = (rows >= 0) & _is_positive(table.types[start:end])
        wanted = np.unique(users[kept].astype(np.int64) * self.num_items + rows[kept])
        known = self.pairs.user_rows.astype(np.int64) * self.num_items
        is_new = ~np.isin(wanted, known + self.pairs.item_rows)
        user, item = np.divmod(wanted, self.num_items)
        return Targets(
            np.searchsorted(user, np.arange(self.num_users + 1)),
            item.astype(np.int32),
            is_new,
        )

    def user_histories(self) -> list[UserHistory]:
        """Returns the history of every user as of the cut, also of items not kept.

        Cost: about 0.1 ms a user.
        """
        table = self.table
        end = int(np.searchsorted(table.times, self.cut_time))
        kept = np.flatnonzero(_is_positive(table.types[:end]))
        users = table.user_rows[kept]
        order = kept[np.argsort(users, kind="stable")]
        offsets = np.searchsorted(np.sort(users), np.arange(self.num_users + 1))
        keys = table.items.keys[table.item_rows[order]]
        times, values = table.times[order], table.values[order]
        return [
            UserHistory.from_events(
                keys[a:b],
                times[a:b],
                values[a:b],
                table.segment_names[table.user_segments[user]],
            )
            for user, (a, b) in enumerate(pairwise(offsets))
        ]


def snapshot(table: EventTable, cut_time: int, min_count: int = MIN_COUNT) -> Snapshot:
    """Returns what was known of `table` at `cut_time`.

    Raises:
        InvalidArgumentError: no item has `min_count` positive events before the cut.
    Cost: about 1 s for 1.5 M events.
    """
    end = int(np.searchsorted(table.times, cut_time))
    kept = np.flatnonzero(_is_positive(table.types[:end]))
    num_events = np.bincount(table.item_rows[kept], minlength=len(table.items))
    table_rows = np.flatnonzero(num_events >= min_count)
    if not len(table_rows):
        raise InvalidArgumentError(
            f"cut_time is {cut_time}: no item has {min_count} events before it",
            "cut_time",
        )
    num_user_events = np.bincount(table.user_rows[kept], minlength=len(table.users))
    of_table = np.full(len(table.items), -1, np.int32)
    of_table[table_rows] = np.arange(len(table_rows))
    kept = kept[of_table[table.item_rows[kept]] >= 0]
    users, items = table.user_rows[kept], of_table[table.item_rows[kept]]
    times = table.times[kept]
    return Snapshot(
        table=table,
        cut_time=cut_time,
        items=Vocabulary.build(table.items.ids_of_rows(table_rows)),
        table_rows=table_rows,
        user_rows=users,
        item_rows=items,
        times=times,
        values=table.values[kept],
        pairs=_pairs(users, items, times, len(table.users)),
        num_user_events=num_user_events,
    )


def _pairs(
    users: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    times: IntArray,
    num_users: int,
) -> Pairs:
    # Times ascend already, and lexsort is stable: each pair's events stay in order.
    order = np.lexsort((items, users))
    users, items, times = users[order], items[order], times[order]
    is_first = np.ones(len(users), bool)
    is_first[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    starts = np.flatnonzero(is_first)
    counts = np.diff(np.r_[starts, len(users)])
    return Pairs(
        user_rows=users[starts],
        item_rows=items[starts],
        counts=counts.astype(np.int32),
        first_times=times[starts],
        last_times=times[starts + counts - 1],
        offsets=np.searchsorted(users[starts], np.arange(num_users + 1)),
    )


def _is_positive(types: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    return np.isin(types, [int(kind) for kind in HISTORY_EVENT_TYPES])
