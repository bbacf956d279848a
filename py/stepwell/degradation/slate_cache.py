"""The last slate of each user, in memory: what makes the last step a good one."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class CachedSlate:
    """A slate that was answered at FULL or REDUCED.

    Attributes:
        rows: int64 [K], item rows of the release, best first.
        scores: float32 [K], as they were answered.
        segment_row: the user's segment in the release; 0 is "unknown".
        made_us: monotonic time of the answer, of the older one when it has two parts.
    """

    rows: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    segment_row: int
    made_us: int


class SlateCache:
    """Last slates by user; bounded, least recently used first to go.

    Rows are those of one release: the cache lives and dies with it.

    Args:
        max_users: users remembered, >= 1; about 0.5 KiB each for slates of 30.
        freshness_us: a slate older than this is not served any more.

    Concurrency: thread-safe. Cost: about 1 us a call.
    """

    def __init__(self, max_users: int, freshness_us: int) -> None:
        if max_users < 1:
            raise ValueError(f"max_users is {max_users}, must be >= 1")
        self._max_users = max_users
        self._freshness_us = freshness_us
        self._slates: OrderedDict[str, CachedSlate] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._slates)

    def put(self, user_id: str, slate: CachedSlate) -> None:
        """Remembers the user's newest slate; an older one than held is dropped.

        A longer slate that is still fresh keeps its length: its entries follow the new
        ones, for a caller who asks for little says nothing against the rest. Such a
        slate is as old as its oldest part, so that nothing outlives the window.
        """
        with self._lock:
            held = self._slates.get(user_id)
            if held is not None and held.made_us > slate.made_us:
                return
            if held is not None and len(held.rows) > len(slate.rows):
                fresh = slate.made_us - held.made_us <= self._freshness_us
                slate = _with_tail(slate, held) if fresh else slate
            self._slates[user_id] = slate
            self._slates.move_to_end(user_id)
            if len(self._slates) > self._max_users:
                self._slates.popitem(last=False)

    def fresh(self, user_id: str, now_us: int) -> CachedSlate | None:
        """Returns the user's slate while it is within its freshness window."""
        with self._lock:
            slate = self._slates.get(user_id)
            if slate is None or now_us - slate.made_us > self._freshness_us:
                return None
            self._slates.move_to_end(user_id)
            return slate

    def segment_row(self, user_id: str) -> int:
        """Returns the user's segment as last seen, 0 when never; it does not age."""
        slate = self._slates.get(user_id)
        return slate.segment_row if slate is not None else 0

    def forget(self, user_id: str) -> None:
        """Drops a user's slate."""
        with self._lock:
            self._slates.pop(user_id, None)

    def clear(self) -> None:
        """Drops every slate, one at a time: other threads get their turns between."""
        while self._slates:
            with self._lock:
                self._slates.popitem(last=False)


def _with_tail(head: CachedSlate, held: CachedSlate) -> CachedSlate:
    """The head, then what `held` has beside it; as long as `held`, which bounds it."""
    others = ~np.isin(held.rows, head.rows)
    length = len(held.rows)
    return CachedSlate(
        rows=np.concatenate([head.rows, held.rows[others]])[:length],
        scores=np.concatenate([head.scores, held.scores[others]])[:length],
        segment_row=head.segment_row,
        made_us=held.made_us,
    )
