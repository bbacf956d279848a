"""What sells faster than it did: the same for every user."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from stepwell.pipeline.candidate import SourceResult
from stepwell.pipeline.query import Query, UserContext
from stepwell.pipeline.stages import SourceRequest
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.schema.vocabulary import RowArray

Rising = tuple[RowArray, npt.NDArray[np.float32]]


class LiveTrends(Protocol):
    """Items that grow since the release was trained."""

    @property
    def rising(self) -> Rising:
        """Item rows int64 [K] and their growth float32 [K], best first.

        A new tuple whenever it changes; its arrays never do.
        """
        ...


class TrendingSource:
    """The release's trending list and what has begun to rise since, best first.

    Growth has one meaning in both: standard deviations above what was expected. An item
    of both lists has the larger of the two.

    Args:
        lists: of the release.
        live: None where nothing follows the events.

    Concurrency: safe to share. Cost: one slice; a merge when `live` has changed.
    """

    name = "trending"

    def __init__(self, lists: PopularLists, live: LiveTrends | None = None) -> None:
        self._lists = lists
        self._live = live
        # Both in one: who reads it has a list and what it was made of.
        self._merged: tuple[Rising | None, SourceResult] = (
            None,
            lists.trending(len(lists.trending_rows)),
        )

    def retrieve(
        self,
        query: Query,  # noqa: ARG002 - the protocol's
        user: UserContext,  # noqa: ARG002
        request: SourceRequest,
    ) -> SourceResult:
        """Returns the head of the list."""
        request.deadline.check(self.name)
        whole = self._whole()
        return SourceResult(whole.rows[: request.limit], whole.scores[: request.limit])

    def _whole(self) -> SourceResult:
        live = self._live.rising if self._live else None
        made_of, whole = self._merged
        if live is made_of:
            return whole
        release = self._lists.trending(len(self._lists.trending_rows))
        whole = release if live is None else _union(release, live)
        self._merged = (live, whole)
        return whole


def _union(release: SourceResult, live: Rising) -> SourceResult:
    """Returns all rows once with the larger score, best first, ties by lower row."""
    rows = np.concatenate([release.rows, live[0]])
    scores = np.concatenate([release.scores, live[1]])
    order = np.lexsort((rows, -scores))
    _, first = np.unique(rows[order], return_index=True)
    kept = order[np.sort(first)]
    return SourceResult(rows[kept], scores[kept])
