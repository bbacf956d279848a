"""What is bought together with what the user buys."""

from stepwell.models.history_weights import affinity_weights
from stepwell.pipeline.candidate import SourceResult
from stepwell.pipeline.query import Query, UserContext
from stepwell.pipeline.stages import SourceRequest
from stepwell.retrieval.co_occurrence_model import CoOccurrenceModel

MAX_HISTORY_ITEMS = 512
"""Most recent items whose neighbours are summed: bounds the time of a heavy user."""

SHORT_HISTORY_ITEMS = 128
"""As many are enough for a short list: on Complete Journey the tier REDUCED ranks as
well with them (./stepwell evaluate --split validation), for less time."""


class CoOccurrenceSource:
    """Items whose co-occurrence with the user's recent items is strongest.

    Own items take part: what goes with the rest of the basket is likelier bought again.
    A list of `limit` items is made of so many of the history, between
    SHORT_HISTORY_ITEMS and MAX_HISTORY_ITEMS.

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
        length = min(max(request.limit, SHORT_HISTORY_ITEMS), MAX_HISTORY_ITEMS)
        # A history is most recent first, so a prefix is its most recent part.
        rows, history = user.history_rows[:length], user.history
        if not (rows >= 0).any():
            return SourceResult.empty()
        weights = affinity_weights(
            history.num_purchases[:length],
            history.first_time[:length],
            history.last_time[:length],
            query.event_time,
        )
        return SourceResult(*self._table.best(rows, weights, request.limit))
