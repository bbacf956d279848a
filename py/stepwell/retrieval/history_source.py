"""What the user already buys: most of grocery is bought again."""

import numpy as np
import numpy.typing as npt

from stepwell.pipeline.candidate import SourceResult
from stepwell.pipeline.query import Query, UserContext
from stepwell.pipeline.stages import SourceRequest
from stepwell.schema.user_history import UserHistory

DAY_SECONDS = 86_400


class HistorySource:
    """Own items by how often and how lately they were bought, given their own rhythm.

    Concurrency: immutable. Cost: O(H log H), about 60 us at H = 250.
    """

    name = "history"

    def retrieve(
        self, query: Query, user: UserContext, request: SourceRequest
    ) -> SourceResult:
        """Returns the user's items that this release knows, best first."""
        request.deadline.check(self.name)
        known = user.history_rows >= 0
        rows = user.history_rows[known]
        scores = repeat_scores(user.history, query.event_time)[known]
        order = np.lexsort((rows, -scores))[: request.limit]
        return SourceResult(rows[order].astype(np.int64), scores[order])


def repeat_scores(history: UserHistory, now: int) -> npt.NDArray[np.float32]:
    """Returns float32 [H] > 0: how likely each item is bought again soon.

    The purchases, decayed over the user's own rhythm for the item: an item bought every
    six weeks is still due after six weeks, one bought daily is not. The half-life is
    twice the mean interval, at least 60 days; a single purchase's interval is 60 days.
    """
    count = history.num_purchases.astype(np.float64)
    span = (history.last_time - history.first_time) / DAY_SECONDS
    interval = np.where(count > 1, span / np.maximum(count - 1, 1), 60.0)
    half_life = np.maximum(2.0 * interval, 60.0)
    age = np.maximum(now - history.last_time, 0) / DAY_SECONDS
    # Events before the last are older by half the span on average.
    mean_age = age + np.where(count > 1, span / 2.0, 0.0)
    return (count * np.exp2(-mean_age / half_life)).astype(np.float32)
