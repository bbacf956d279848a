"""From a user id to what is known of the user, with freshness checked at the read."""

from collections.abc import Sequence

import structlog

from stepwell.base.deadline import Deadline
from stepwell.base.errors import DataLossError
from stepwell.base.metric_names import DAMAGED_HISTORIES
from stepwell.base.metrics import Metrics
from stepwell.features.catalogue import USER_HISTORY_VIEW, FeatureView
from stepwell.pipeline.query import Query, UserContext
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import Vocabulary
from stepwell.stores.key_value_store import KeyValueStore

_log = structlog.get_logger(__name__)

ANSWER_RESERVE_US = 2_000
"""What a request keeps of its time to be answered from memory."""


class UserHydrator:
    """Reads the user's history from the online store.

    Missing, damaged or stale state becomes the view's declared default, an empty
    history, and the context says so: an older value is never served in silence.

    Args:
        store: holds packed histories in the view's name.
        vocabulary: the items of the release.
        segment_names: the release's segments, row 0 is the unknown one.
        view: name and freshness of the state.
        metrics: counts what is damaged.

    Concurrency: as safe as the store. Cost: one read of the store, then O(H).
    """

    def __init__(
        self,
        store: KeyValueStore,
        vocabulary: Vocabulary,
        segment_names: Sequence[str],
        view: FeatureView = USER_HISTORY_VIEW,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._vocabulary = vocabulary
        self._segment_rows = {name: row for row, name in enumerate(segment_names)}
        self._view = view
        self._metrics = metrics or Metrics()

    def hydrate(self, query: Query, deadline: Deadline) -> UserContext:
        """Returns the user's context as of `query.event_time`.

        Raises:
            DeadlineExceededError: nothing is left of `deadline` before the read.
            UnavailableError: the store does not answer, or not while there is time to
                answer without it.
        """
        deadline.check("hydrate")
        # The stage's share is soft, as for every stage: a read beyond it costs a lower
        # plan. Only what would leave no time for any answer is given up.
        spare_us = query.deadline.remaining_us() - ANSWER_RESERVE_US
        limit_us = max(deadline.remaining_us(), spare_us, 1)
        blob = self._store.get_many(self._view.name, [query.user_id], limit_us)[0]
        if blob is None:
            return UserContext.unknown(query.user_id, (self._view.name,))
        try:
            history = UserHistory.unpack(blob)
        except DataLossError as error:
            self._metrics.add(DAMAGED_HISTORIES)
            # Whose it is stays out of the log.
            _log.warning("a stored user history is damaged", error=str(error))
            return UserContext.unknown(query.user_id, (self._view.name,))
        return context_of(
            query, history, self._vocabulary, self._segment_rows, self._view
        )


def context_of(
    query: Query,
    history: UserHistory,
    vocabulary: Vocabulary,
    segment_rows: dict[str, int],
    view: FeatureView = USER_HISTORY_VIEW,
) -> UserContext:
    """Returns the context of a user with this history.

    Args:
        query: gives user and time.
        history: as stored.
        vocabulary: the items of the release.
        segment_rows: row of each segment's name; others are row 0.
        view: freshness: a history whose last event is older is stale. It is replaced by
            an empty one of the same segment, for a segment does not age.
    """
    age_seconds = max(query.event_time - history.last_event_time, 0)
    stale = history.num_events > 0 and age_seconds > view.freshness_seconds
    used = UserHistory.empty(history.segment) if stale else history
    return UserContext(
        user_id=query.user_id,
        history=used,
        history_rows=vocabulary.rows_of_keys(used.keys),
        segment_row=segment_rows.get(history.segment, 0),
        is_cold=used.num_events == 0,
        feature_age_ms={view.name: age_seconds * 1_000} if history.num_events else {},
        defaulted=(view.name,) if used.num_events == 0 else (),
        stale=(view.name,) if stale else (),
    )
