"""What has just come into the catalogue: too new to be found by what people bought."""

import numpy as np

from stepwell.models.history_weights import affinity_weights
from stepwell.ops.best_first import order_best_first
from stepwell.pipeline.candidate import ScoreArray, SourceResult
from stepwell.pipeline.query import Query, UserContext
from stepwell.pipeline.stages import SourceRequest
from stepwell.retrieval.category_affinity import CategoryAffinity
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.schema.vocabulary import RowArray

_PRIOR_WEIGHT = np.float32(1e-3)
"""A category the user buys in outweighs the release's order; within one it decides."""


class NewItemsSource:
    """New items of the categories that the user buys in, then the other new ones.

    An item's score is its category's share of the user's history; for a new user, where
    items have no categories, and within one, the release's order of new items stands.

    Args:
        lists: hold the release's new items.
        affinity: categories of the release's items; None where they have none.

    Concurrency: immutable. Cost: O(H + M) for M new items.
    """

    name = "new_items"

    def __init__(self, lists: PopularLists, affinity: CategoryAffinity | None) -> None:
        self._rows: RowArray = lists.new_rows.astype(np.int64)
        # Falling, so that the release's order stands where nothing else speaks.
        places = np.arange(len(self._rows), dtype=np.float32)
        self._prior: ScoreArray = _PRIOR_WEIGHT / (1.0 + places)
        self._codes = None if affinity is None else affinity.codes
        self._num_codes = 0 if affinity is None else int(affinity.codes.max()) + 1

    def retrieve(
        self, query: Query, user: UserContext, request: SourceRequest
    ) -> SourceResult:
        """Returns the new items, best first, at most the limit."""
        request.deadline.check(self.name)
        scores = self._prior + self._shares(query, user)
        order = order_best_first(scores, self._rows, request.limit)
        return SourceResult(self._rows[order], scores[order])

    def _shares(self, query: Query, user: UserContext) -> ScoreArray:
        """Returns float32 [M]: the part of the history in each item's category."""
        known = user.history_rows >= 0
        if self._codes is None or not known.any():
            return np.zeros(len(self._rows), np.float32)
        history = user.history
        weights = affinity_weights(
            history.num_purchases,
            history.first_time,
            history.last_time,
            query.event_time,
        )[known]
        held = np.bincount(
            self._codes[user.history_rows[known]], weights, self._num_codes
        )
        shares: ScoreArray = held[self._codes[self._rows]].astype(np.float32)
        return shares / max(float(weights.sum()), 1e-9)
