"""The hydrator: model inputs of every candidate, for requests and for training rows."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stepwell.features import view_features
from stepwell.features.catalogue import (
    ABSENT_RANK,
    FAR_DAYS,
    OWN_FEATURES,
    USER_FEATURES,
    FeatureCatalogue,
)
from stepwell.features.item_columns import ItemColumns
from stepwell.features.request_features import request_values
from stepwell.ops.feature_table import (
    FeatureDefaults,
    FeatureTable,
    StoredColumns,
    StoredRows,
)
from stepwell.pipeline.candidate import FEATURE_SOURCES, CandidateSet
from stepwell.pipeline.query import FeatureBatch, Query, UserContext
from stepwell.schema.feature_registry import REQUEST_CONTEXT, USER_ACTIVITY

Rows = npt.NDArray[np.void]
_MAX_READS = 4


class ItemRows(Protocol):
    """The items' rows of ITEM_ACTIVITY, which someone else may be updating.

    Concurrency: a writer that holds the interpreter's lock while it changes a row.
    """

    @property
    def rows(self) -> Rows:
        """Structured [N] by item row of the release; zeros where nothing is known."""
        ...

    @property
    def next_offset(self) -> int:
        """Of the event log: events before it are in the rows."""
        ...


@dataclass(frozen=True, slots=True)
class RowsAtRest:
    """Item rows that nobody updates."""

    rows: Rows
    next_offset: int = 0


class CandidateFeatures:
    """Computes the catalogue's features for N candidates of one user.

    Training makes its rows with this very class, as of its cuts: what a model learns
    from is what it is served.

    Args:
        items: columns of the release; they are copied, item by item.
        catalogue: which features, in which order.
        item_rows: what happens to the items of late, as the stream tells; None leaves
            them as they were when the release was made.

    Concurrency: immutable.
    Cost: that of FeatureTable.features.
    """

    def __init__(
        self,
        items: ItemColumns,
        catalogue: FeatureCatalogue,
        item_rows: ItemRows | None = None,
    ) -> None:
        self._catalogue = catalogue
        if item_rows is None and items.activity is not None:
            item_rows = RowsAtRest(items.activity)
        self._item_rows = item_rows if catalogue.item_features else None
        self._flags = {
            view: 1 << place
            for place, view in enumerate(view_features.indicated_views(catalogue.views))
        }
        self._default_row = (
            USER_ACTIVITY.default_row() if catalogue.user_features else None
        )
        defaults = FeatureDefaults(
            user=[feature.default for feature in USER_FEATURES],
            own=[feature.default for feature in OWN_FEATURES],
            far_days=FAR_DAYS,
            absent_rank=ABSENT_RANK,
        )
        stored = StoredColumns(
            num_flags=len(self._flags),
            user=view_features.view_columns(catalogue.user_features),
            item=view_features.view_columns(catalogue.item_features),
            num_request=len(catalogue.request_features),
        )
        self._request_flag = self._flags.get(REQUEST_CONTEXT.name, 0)
        self._table = FeatureTable(items.table(catalogue), defaults, stored)
        # Two places say how many features there are; they must not drift apart.
        assert self._table.num_dense(len(FEATURE_SOURCES)) == len(catalogue.dense)

    @property
    def catalogue(self) -> FeatureCatalogue:
        """The features it computes."""
        return self._catalogue

    def hydrate(
        self, query: Query, user: UserContext, candidates: CandidateSet
    ) -> FeatureBatch:
        """Returns the features of the N candidates, in their order.

        Those of a replayable query come with the item rows they were computed from.
        """
        if self._item_rows is None or not query.is_replayable:
            return self._batch(query, user, candidates)
        # The rows may change while they are read; they are those of the features when
        # they were the same before and after.
        for _ in range(_MAX_READS):
            before = self._item_rows.rows[candidates.rows]
            offset = self._item_rows.next_offset
            batch = self._batch(query, user, candidates)
            after = self._item_rows.rows[candidates.rows]
            if before.tobytes() == after.tobytes():
                break
        else:
            return batch
        return replace(batch, item_state=before, item_state_offset=offset)

    def _batch(
        self, query: Query, user: UserContext, candidates: CandidateSet
    ) -> FeatureBatch:
        history, rows = user.history, candidates.rows
        columns = (
            history.num_purchases,
            history.first_time,
            history.last_time,
            history.decayed_count,
            history.total_value,
            user.history_rows,
            history.num_events,
            history.num_trips,
            history.first_event_time,
            history.last_event_time,
        )
        dense, sparse = self._table.features(
            columns,
            query.event_time,
            user.segment_row,
            (rows, candidates.source_scores, candidates.source_ranks),
            self._stored(query, user),
            len(FEATURE_SOURCES),
        )
        return FeatureBatch(dense, sparse, rows, defaulted=self._unknown(query))

    def _stored(self, query: Query, user: UserContext) -> StoredRows:
        flags = sum(self._flags.get(view, 0) for view in user.defaulted)
        items = None if self._item_rows is None else self._item_rows.rows
        row = request = None
        if self._default_row is not None:
            row = user.rows.get(USER_ACTIVITY.name, self._default_row)
        if self._request_flag:
            request = request_values(query.request_rows)
            if self._unknown(query):
                flags |= self._request_flag
        return StoredRows(flags, row, items, request)

    def _unknown(self, query: Query) -> tuple[str, ...]:
        """The view of the request, where it is read and nothing is known."""
        if not self._request_flag or REQUEST_CONTEXT.name in query.request_rows:
            return ()
        return (REQUEST_CONTEXT.name,)
