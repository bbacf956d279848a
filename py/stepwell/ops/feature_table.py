"""Features of candidates, computed in one pass over one line of memory an item."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stepwell.ops.candidate_extension import load_extension

_native = load_extension()

FloatArray = npt.NDArray[np.float32]
CodeArray = npt.NDArray[np.int32]
TimeArray = npt.NDArray[np.int64]
RowArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ItemTable:
    """What a release knows of N items; all arrays row-major.

    Attributes:
        numbers: float32 [N, C], features as they are.
        price, interval: the columns of `numbers` that hold the mean value of an event
            and the mean days between a user's repeats.
        first_seen, last_seen: int64 [N], unix seconds.
        affinity_codes: A columns int32 [N] >= 0.
        affinity_shares: A columns float32 [N], the item's share of its value.
        embedded_codes: T columns int32 [N].
    """

    numbers: FloatArray
    price: int
    interval: int
    first_seen: TimeArray
    last_seen: TimeArray
    affinity_codes: Sequence[CodeArray]
    affinity_shares: Sequence[FloatArray]
    embedded_codes: Sequence[CodeArray]


@dataclass(frozen=True, slots=True)
class FeatureDefaults:
    """What features are where the thing they are of does not exist.

    Attributes:
        user: of a user without events. own: of an item not in the history.
        far_days: days that stand for "never".
        absent_rank: rank that stands for "not emitted by this source".
    """

    user: Sequence[float]
    own: Sequence[float]
    far_days: float
    absent_rank: float


@dataclass(frozen=True, slots=True)
class ViewColumns:
    """E numbers of a view's packed rows that are features, decayed to the question.

    Attributes:
        row_bytes: of one row.
        value_offsets: E places of float32 in the row's bytes.
        time_offsets: E places of int64, unix seconds: as of when the number is.
        half_lives: E times in seconds, > 0.
    """

    row_bytes: int = 0
    value_offsets: Sequence[int] = ()
    time_offsets: Sequence[int] = ()
    half_lives: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class StoredColumns:
    """The features that come from stored rows, after all others.

    Attributes:
        num_flags: flags of the request, at most 32.
        user, item: numbers of the user's row, and of the item's.
        num_request: numbers of the request, at most 64.
    """

    num_flags: int = 0
    user: ViewColumns = field(default_factory=ViewColumns)
    item: ViewColumns = field(default_factory=ViewColumns)
    num_request: int = 0


@dataclass(frozen=True, slots=True)
class StoredRows:
    """The stored rows of one request.

    Attributes:
        flags: bit i is flag i.
        user: one row, structured; needed where StoredColumns has numbers of it.
        items: [N] rows, structured, one for every item of the release; None stands for
            numbers of 0.
        request: float32 [num_request]; needed where there are any.
    """

    flags: int = 0
    user: npt.NDArray[np.void] | None = None
    items: npt.NDArray[np.void] | None = None
    request: FloatArray | None = None


NO_ROWS = StoredRows()

HistoryColumns = tuple[
    npt.NDArray[np.int32],
    TimeArray,
    TimeArray,
    FloatArray,
    FloatArray,
    RowArray,
    int,
    int,
    int,
    int,
]
"""H items, most recent first: num_purchases, first_time, last_time, decayed_count (by
30 days), total_value, rows (-1 unknown); then num_events, num_trips, first_event_time
and last_event_time of the whole history. Stored columns may lie at any address."""


class FeatureTable:
    """Computes the features of N candidates of one user.

    The order of the F dense features: 8 of the user, 15 of the user's own dealings with
    the item, C + 3 of the item, S scores and S ranks of the sources, 9 for each of the
    A affinity columns, then the flags, the user's stored numbers, the request's numbers
    and the item's stored numbers.
    features.catalogue names them.

    Raises:
        InvalidArgumentError: another type, shape or number of defaults; a code below 0.
    Concurrency: immutable, keeps the GIL. Memory: a copy of the columns, item by item.
    """

    def __init__(
        self,
        items: ItemTable,
        defaults: FeatureDefaults,
        stored: StoredColumns | None = None,
    ) -> None:
        stored = stored or StoredColumns()
        columns = (
            items.numbers,
            items.price,
            items.interval,
            items.first_seen,
            items.last_seen,
            list(items.affinity_codes),
            list(items.affinity_shares),
            list(items.embedded_codes),
        )
        self._native = _native.FeatureTable(
            columns,
            list(defaults.user),
            list(defaults.own),
            defaults.far_days,
            defaults.absent_rank,
            stored.num_flags,
            _columns(stored.user),
            _columns(stored.item),
            stored.num_request,
        )

    def num_dense(self, num_sources: int) -> int:
        """Returns F for S sources."""
        return int(self._native.num_dense(num_sources))

    def features(
        self,
        history: HistoryColumns,
        now: int,
        segment_row: int,
        candidates: tuple[RowArray, FloatArray, npt.NDArray[np.int16]],
        stored: StoredRows = NO_ROWS,
        num_sources: int | None = None,
    ) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Returns dense float32 [N, F] and sparse int64 [N, T + 1].

        Args:
            history: the user's.
            now: unix seconds; what is later counts as now.
            segment_row: the last sparse column of every candidate.
            candidates: rows int64 [N], each in [0, number of items); source scores
                float32 [N, S]; source ranks int16 [N, S], -1 where absent.
            stored: flags and rows; nothing else writes the rows during the call.
            num_sources: S where it is the first S of the arrays' columns; None is all.
        Raises:
            InvalidArgumentError: another type or shape, a row out of range.
        Cost: O(H log H + N F), about 45 us at H = 250, N = 500, F = 86.
        """
        dense, sparse = self._native.features(
            history,
            now,
            segment_row,
            *candidates,
            stored.flags,
            stored.user,
            stored.items,
            -1 if num_sources is None else num_sources,
            stored.request,
        )
        return dense, sparse


def _columns(view: ViewColumns) -> tuple[int, list[int], list[int], list[float]]:
    return (
        view.row_bytes,
        list(view.value_offsets),
        list(view.time_offsets),
        list(view.half_lives),
    )
