"""What this user should not see again now."""

from dataclasses import dataclass

import numpy as np

from stepwell.pipeline.query import Query, UserContext
from stepwell.reranking.policy_filter import MaskArray
from stepwell.schema.vocabulary import RowArray


@dataclass(frozen=True, slots=True)
class SeenFilter:
    """Drops the items that the request excludes and those bought a moment ago.

    Attributes:
        purchase_window_seconds: an item bought less than this before the query's event
            time is not shown; 0 shows it. Groceries are bought again and want a short
            window or none; films are not and want a long one.

    Concurrency: immutable. Cost: about 20 us for 500 rows.
    """

    purchase_window_seconds: int = 0

    def hides_from(self, query: Query) -> bool:
        """Returns whether anything may be hidden from this query's user."""
        return self.purchase_window_seconds > 0 or len(query.excluded_rows) > 0

    def unseen(self, query: Query, user: UserContext, rows: RowArray) -> MaskArray:
        """Returns bool [N]: True where the row may be shown to this user now."""
        hidden = query.excluded_rows
        if self.purchase_window_seconds > 0:
            since = query.event_time - self.purchase_window_seconds
            recent = user.history_rows[user.history.last_time > since]
            hidden = np.concatenate([hidden, recent])
        if not len(hidden):
            return np.ones(len(rows), np.bool_)
        return ~np.isin(rows, hidden)
