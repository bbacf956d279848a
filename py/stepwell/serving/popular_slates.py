"""The last step of the ladder: cached and popular items, from memory only."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from stepwell.base.clock import Clock
from stepwell.degradation.slate_cache import SlateCache
from stepwell.pipeline.candidate import CandidateSet, RankedSet, ScoreArray
from stepwell.pipeline.query import Query
from stepwell.pipeline.slate import PopularSlate
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.schema.vocabulary import RowArray

_LIST_LIMIT = 2_000


class RowPolicy(Protocol):
    """What may be shown at all; fails closed. Concurrency: immutable."""

    def allowed(self, rows: RowArray) -> npt.NDArray[np.bool_]:
        """Returns bool [N]: True where the item of the row may be shown."""
        ...


class MemorySlates:
    """The user's own last slate while it is fresh, then the segment's popular list.

    Both pass the policy again: it may have changed since the slate was made.

    Args:
        slates: last slates of the release.
        lists: popular lists of the release.
        policy: what may be shown.
        clock: monotonic time, for the age of slates.
        num_items: N of the release.

    Concurrency: thread-safe. Cost: about 20 us and 0.3 us an item.
    """

    def __init__(
        self,
        slates: SlateCache,
        lists: PopularLists,
        policy: RowPolicy,
        clock: Clock,
        num_items: int,
    ) -> None:
        self._slates = slates
        self._clock = clock
        self._policy = policy
        # Lists are cut and filled up once, and pass the policy at every request: bans
        # may come while a release is live.
        self._lists = [
            lists.popular(segment, _LIST_LIMIT).rows
            for segment in range(len(lists.segment_names))
        ]
        self._popularity = _places(lists.popular(0, num_items).rows, num_items)

    def slate(self, query: Query) -> PopularSlate:
        """Returns the slate of the query's user; scores are 0 but for cached items."""
        if query.given_rows is not None:
            return PopularSlate(self._ranked_given(query, query.given_rows), None)
        now_us = self._clock.monotonic_us()
        cached = self._slates.fresh(query.user_id, now_us)
        popular = self._lists[self._slates.segment_row(query.user_id)]
        shown = _Shown(query.num_items, query.excluded_rows)
        if cached is not None:
            shown.take(cached.rows, self._policy)
        num_own = len(shown.rows)
        shown.take(popular, self._policy)
        rows = np.array(shown.rows, np.int64)
        scores = np.zeros(len(rows), np.float32)
        if cached is None:
            return PopularSlate(_ranked(rows, scores), None)
        known = dict(zip(cached.rows.tolist(), cached.scores.tolist(), strict=True))
        scores[:num_own] = [known[row] for row in shown.rows[:num_own]]
        return PopularSlate(_ranked(rows, scores), now_us - cached.made_us)

    def _ranked_given(self, query: Query, given: RowArray) -> RankedSet:
        rows = given[self._policy.allowed(given)]
        if len(query.excluded_rows):
            rows = rows[~np.isin(rows, query.excluded_rows)]
        order = np.lexsort((rows, self._popularity[rows]))
        rows = rows[order][: query.num_items]
        return _ranked(rows, np.zeros(len(rows), np.float32))


class _Shown:
    """A slate that fills up from the top; `rows` are its items so far.

    Tens of rows: lists and sets are quicker here than arrays.
    """

    def __init__(self, num_items: int, excluded: RowArray) -> None:
        self.rows: list[int] = []
        self._num_items = num_items
        self._done = set(excluded.tolist())

    def take(self, rows: RowArray, policy: RowPolicy) -> None:
        """Adds the allowed rows that are not there yet, as many as there is room for.

        Most lists are far longer than a slate: the policy is asked piece by piece.
        """
        shown, done, start = self.rows, self._done, 0
        while start < len(rows) and len(shown) < self._num_items:
            piece = rows[start : start + self._num_items + len(done)]
            start += len(piece)
            for row in piece[policy.allowed(piece)].tolist():
                if row not in done:
                    done.add(row)
                    shown.append(row)
        del shown[self._num_items :]


def _places(rows: RowArray, num_items: int) -> npt.NDArray[np.int64]:
    """Returns int64 [N]: each row's place in the list, N where it is not in it."""
    places = np.full(num_items, num_items, np.int64)
    places[rows] = np.arange(len(rows))
    return places


def _ranked(rows: RowArray, scores: ScoreArray) -> RankedSet:
    return RankedSet(
        CandidateSet.of_rows(rows), scores, np.zeros((len(rows), 0), np.float32)
    )
