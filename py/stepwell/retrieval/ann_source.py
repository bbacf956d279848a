"""Items whose vector is nearest to the user's, found by graph search."""

from stepwell.index.ann_index import AnnIndex
from stepwell.models.two_tower_user import UserTower
from stepwell.pipeline.candidate import SourceResult
from stepwell.pipeline.query import Query, UserContext
from stepwell.pipeline.stages import SourceRequest
from stepwell.retrieval.recall_probe import RecallProbe

MAX_BUDGET_US = 60_000_000
"""Longest search asked for, whatever the deadline: a minute."""


class AnnSource:
    """The two-tower source: the user's tower here, the items' in an index.

    Args:
        user_tower: makes the query's vector.
        index: searched for the items'.
        probe: measures the recall of a share of the searches; None measures none.

    Concurrency: as safe as the index, whose searches may run side by side.
    Cost: UserVectors.of and one search, which stops at the deadline with what it
    has.
    """

    name = "ann"

    def __init__(
        self,
        user_tower: UserTower,
        index: AnnIndex,
        probe: RecallProbe | None = None,
    ) -> None:
        self._user_vectors = user_tower.vectors()
        self._index = index
        self._probe = probe

    def retrieve(
        self, query: Query, user: UserContext, request: SourceRequest
    ) -> SourceResult:
        """Returns the nearest items; nothing without a known history."""
        request.deadline.check(self.name)
        history = user.history
        vector = self._user_vectors.of(
            history.num_purchases,
            (history.first_time, history.last_time),
            user.history_rows,
            query.event_time,
        )
        if vector is None:
            return SourceResult.empty()
        found = self._index.search(
            vector[None, :],
            request.limit,
            ef_search=request.ef_search,
            exclude_ids=query.excluded_rows,
            budget_us=min(max(request.deadline.remaining_us(), 1), MAX_BUDGET_US),
        )
        rows, scores = found.ids[0], found.scores[0]
        if self._probe is not None:
            self._probe.observe(
                vector, request.limit, rows, exclude_ids=query.excluded_rows
            )
        num_found = int(found.counts[0])
        return SourceResult(rows[:num_found], scores[:num_found], found.coverage)
