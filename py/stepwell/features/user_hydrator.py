"""From a user id to what is known of the user, with freshness checked at the read."""

from collections.abc import Sequence

from stepwell.base.deadline import Deadline
from stepwell.features.baselines import NO_BASELINES, Baselines
from stepwell.features.online_reader import OnlineReader
from stepwell.features.row_verdict import UserRows
from stepwell.pipeline.query import Query, StoredRead, UserContext
from stepwell.schema.feature_registry import USER_PROFILE
from stepwell.schema.vocabulary import Vocabulary, entity_key

ANSWER_RESERVE_US = 2_000
"""What a request keeps of its time to be answered from memory."""


class UserHydrator:
    """Makes a user's context of the rows that the online store has.

    Missing, damaged or stale state becomes the view's declared default, for the history
    an empty one, and the context says so: an older value is never served in silence.

    Args:
        reader: of the user's views, the history among them.
        vocabulary: the items of the release.
        segment_names: the release's segments, row 0 is the unknown one.
        baselines: of the reader's views that say BASELINE.

    Concurrency: as safe as the reader. Cost: the reader's, then O(H).
    """

    def __init__(
        self,
        reader: OnlineReader,
        vocabulary: Vocabulary,
        segment_names: Sequence[str],
        baselines: Baselines = NO_BASELINES,
    ) -> None:
        self._reader = reader
        self._baseline_views = [v.name for v in reader.views if v.name in baselines]
        # By segment row.
        self._baseline_rows = [
            {view: baselines.row(view, row) for view in self._baseline_views}
            for row in range(len(segment_names))
        ]
        self._vocabulary = vocabulary
        self._segment_rows = {name: row for row, name in enumerate(segment_names)}
        self._profile_rows = {
            entity_key(f"segment={name}"): row
            for name, row in self._segment_rows.items()
        }

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
        at_us = max(deadline.at_us, query.deadline.at_us - ANSWER_RESERVE_US)
        hop = Deadline(deadline.clock, at_us)
        rows = self._reader.read(query.user_id, query.event_time, hop)
        return self._hydrated(query, rows)

    def replayed(self, query: Query, reads: Sequence[StoredRead]) -> UserContext:
        """Returns the context that a request had, of its `UserContext.reads`.

        What was a default is one again: no store and no clock is asked, and ages are
        not told.

        Raises:
            DataLossError, SchemaMismatchError: a row is none that this version reads.
        """
        blobs = {view: blob for view, _, blob in reads}
        views = self._reader.views
        stored = [blobs.get(view.name) for view in views]
        rows = self._reader.replayed(stored, query.user_id)
        return self._hydrated(query, rows)

    def _hydrated(self, query: Query, found: UserRows) -> UserContext:
        history, rows = found.history, found.rows
        segment_row = self._segment_rows.get(history.segment, 0)
        profile = rows.get(USER_PROFILE.name)
        if profile is not None and not history.segment:
            # Somebody of whom nothing is known but what the users' table says.
            segment_row = self._profile_rows.get(int(profile["segment"]), 0)
        for view in self._baseline_views:
            if view not in rows:
                rows = self._baseline_rows[segment_row] | rows
                break
        # In the order of the fields: names take as long as the values.
        return UserContext(
            query.user_id,
            history,
            self._vocabulary.rows_of_keys(history.keys),
            segment_row,
            not history.num_events,
            found.row_age_ms,
            found.defaulted,
            found.stale,
            found.writer_age_ms,
            rows,
            found.reads,
            found.drops_tier,
        )
