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

    Concurrency: thread-safe. Cost: about 0.1 ms.
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
        segment = self._slates.segment_row(query.user_id)
        popular = self._allowed(self._lists[segment])
        if cached is None:
            rows = _shown(popular, query.excluded_rows)[: query.num_items]
            return PopularSlate(_ranked(rows, np.zeros(len(rows), np.float32)), None)
        own = _shown(self._allowed(cached.rows), query.excluded_rows)
        fill = _shown(_shown(popular, query.excluded_rows), own)
        rows = np.concatenate([own, fill])[: query.num_items]
        ranked = _ranked(rows, _scores_of(rows, cached.rows, cached.scores))
        return PopularSlate(ranked, now_us - cached.made_us)

    def _ranked_given(self, query: Query, given: RowArray) -> RankedSet:
        rows = _shown(self._allowed(given), query.excluded_rows)
        order = np.lexsort((rows, self._popularity[rows]))
        rows = rows[order][: query.num_items]
        return _ranked(rows, np.zeros(len(rows), np.float32))

    def _allowed(self, rows: RowArray) -> RowArray:
        return rows[self._policy.allowed(rows)]


def _places(rows: RowArray, num_items: int) -> npt.NDArray[np.int64]:
    """Returns int64 [N]: each row's place in the list, N where it is not in it."""
    places = np.full(num_items, num_items, np.int64)
    places[rows] = np.arange(len(rows))
    return places


def _shown(rows: RowArray, excluded: RowArray) -> RowArray:
    return rows[~np.isin(rows, excluded)] if len(excluded) else rows


def _scores_of(rows: RowArray, own: RowArray, scores: ScoreArray) -> ScoreArray:
    known = dict(zip(own.tolist(), scores.tolist(), strict=True))
    return np.array([known.get(row, 0.0) for row in rows.tolist()], np.float32)


def _ranked(rows: RowArray, scores: ScoreArray) -> RankedSet:
    return RankedSet(
        CandidateSet.of_rows(rows), scores, np.zeros((len(rows), 0), np.float32)
    )
