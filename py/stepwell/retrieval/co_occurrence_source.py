"""What is bought together with what the user buys."""

from stepwell.models.history_weights import affinity_weights
from stepwell.pipeline.candidate import SourceResult
from stepwell.pipeline.query import Query, UserContext
from stepwell.pipeline.stages import SourceRequest
from stepwell.retrieval.co_occurrence_model import CoOccurrenceModel

MAX_HISTORY_ITEMS = 512
"""Most recent items whose neighbours are summed: bounds the time of a heavy user."""


class CoOccurrenceSource:
    """Items whose co-occurrence with the user's recent items is strongest.

    Own items take part: what goes with the rest of the basket is likelier bought again.

    Concurrency: thread-safe. Cost: that of CoOccurrenceTable.best.
    """

    name = "co_occurrence"

    def __init__(self, model: CoOccurrenceModel) -> None:
        self._table = model.table()

    def retrieve(
        self, query: Query, user: UserContext, request: SourceRequest
    ) -> SourceResult:
        """Returns the best items by summed weight; nothing without a known history."""
        request.deadline.check(self.name)
        # A history is most recent first, so a prefix is its most recent part.
        rows, history = user.history_rows[:MAX_HISTORY_ITEMS], user.history
        if not (rows >= 0).any():
            return SourceResult.empty()
        weights = affinity_weights(
            history.num_purchases[:MAX_HISTORY_ITEMS],
            history.first_time[:MAX_HISTORY_ITEMS],
            history.last_time[:MAX_HISTORY_ITEMS],
            query.event_time,
        )
        return SourceResult(*self._table.best(rows, weights, request.limit))
