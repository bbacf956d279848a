"""The hydrator: model inputs of every candidate, for requests and for training rows."""

from stepwell.features.catalogue import (
    ABSENT_RANK,
    FAR_DAYS,
    OWN_FEATURES,
    USER_FEATURES,
    FeatureCatalogue,
)
from stepwell.features.item_columns import ItemColumns
from stepwell.ops.feature_table import FeatureDefaults, FeatureTable
from stepwell.pipeline.candidate import SOURCE_NAMES, CandidateSet
from stepwell.pipeline.query import FeatureBatch, Query, UserContext


class CandidateFeatures:
    """Computes the catalogue's features for N candidates of one user.

    Training makes its rows with this very class, as of its cuts: what a model learns
    from is what it is served.

    Args:
        items: columns of the release; they are copied, item by item.
        catalogue: which features, in which order.

    Concurrency: immutable.
    Cost: that of FeatureTable.features.
    """

    def __init__(self, items: ItemColumns, catalogue: FeatureCatalogue) -> None:
        self._catalogue = catalogue
        defaults = FeatureDefaults(
            user=[feature.default for feature in USER_FEATURES],
            own=[feature.default for feature in OWN_FEATURES],
            far_days=FAR_DAYS,
            absent_rank=ABSENT_RANK,
        )
        self._table = FeatureTable(items.table(catalogue), defaults)
        # Two places say how many features there are; they must not drift apart.
        assert self._table.num_dense(len(SOURCE_NAMES)) == len(catalogue.dense)

    @property
    def catalogue(self) -> FeatureCatalogue:
        """The features it computes."""
        return self._catalogue

    def hydrate(
        self, query: Query, user: UserContext, candidates: CandidateSet
    ) -> FeatureBatch:
        """Returns the features of the N candidates, in their order."""
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
        )
        return FeatureBatch(dense, sparse, rows)
