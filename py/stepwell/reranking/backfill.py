"""Fills a slate that filters left short, from the popular list."""

from collections.abc import Sequence

import numpy as np

from stepwell.pipeline.candidate import SOURCE_NAMES, CandidateSet, RankedSet
from stepwell.pipeline.query import Query, UserContext
from stepwell.reranking.policy_filter import PolicyFilter
from stepwell.reranking.seen_filter import SeenFilter
from stepwell.schema.vocabulary import RowArray

_POPULAR = SOURCE_NAMES.index("popular")


class Backfill:
    """Appends popular items of the user's segment, filtered like everything else.

    They carry score 0, no objectives, and "popular" as their source at their place in
    the list. A Rank call is never filled: its caller named the candidates.

    Args:
        lists: item rows by segment row, best first; entry 0 is the unknown segment.
        policy, seen: the filters of the stage.

    Concurrency: immutable. Cost: nothing for a full slate, else about 60 us.
    """

    def __init__(
        self, lists: Sequence[RowArray], policy: PolicyFilter, seen: SeenFilter
    ) -> None:
        self._lists = [_first_of_each(rows) for rows in lists]
        self._policy = policy
        self._seen = seen

    def fill(self, query: Query, user: UserContext, slate: RankedSet) -> RankedSet:
        """Returns the slate with at most `query.num_items` entries."""
        missing = query.num_items - len(slate)
        if missing <= 0 or query.given_rows is not None or not self._lists:
            return slate
        segment = user.segment_row if user.segment_row < len(self._lists) else 0
        listed = self._lists[segment]
        free = ~np.isin(listed, slate.candidates.rows)
        free &= self._seen.unseen(query, user, listed) & self._policy.allowed(listed)
        places = np.flatnonzero(free)[:missing]
        return _appended(slate, listed[places], places)


def _first_of_each(rows: RowArray) -> RowArray:
    _, first = np.unique(rows, return_index=True)
    return rows[np.sort(first)]


def _appended(slate: RankedSet, rows: RowArray, places: RowArray) -> RankedSet:
    extra = CandidateSet.of_rows(rows)
    extra.source_ranks[:, _POPULAR] = np.minimum(places, np.iinfo(np.int16).max)
    candidates = slate.candidates
    merged = CandidateSet(
        np.concatenate([candidates.rows, extra.rows]),
        np.concatenate([candidates.source_scores, extra.source_scores]),
        np.concatenate([candidates.source_ranks, extra.source_ranks]),
    )
    objectives = np.zeros((len(rows), slate.objectives.shape[1]), np.float32)
    return RankedSet(
        merged,
        np.concatenate([slate.scores, np.zeros(len(rows), np.float32)]),
        np.concatenate([slate.objectives, objectives]),
        np.concatenate([_places(slate), np.full(len(rows), -1)]),
    )


def _places(slate: RankedSet) -> RowArray:
    return np.arange(len(slate)) if slate.places is None else slate.places
