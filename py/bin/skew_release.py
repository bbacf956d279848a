"""The part of a release that features are computed with, without its models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.metrics import Metrics
from stepwell.features.candidate_features import CandidateFeatures, RowsAtRest
from stepwell.features.catalogue import FeatureCatalogue, catalogue_for
from stepwell.features.item_columns import ItemColumns
from stepwell.features.release_users import NothingStored, ReleaseUsers
from stepwell.features.request_features import replayed_rows
from stepwell.features.skew_profile import FeatureProfile
from stepwell.features.user_hydrator import UserHydrator
from stepwell.models.ranker_config import RankerConfig
from stepwell.pipeline.candidate import CandidateSet
from stepwell.pipeline.query import Query
from stepwell.retrieval.artifacts import POPULAR_FILE
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.schema.feature_registry import ITEM_ACTIVITY
from stepwell.schema.feature_view import RowValues
from stepwell.schema.vocabulary import VOCABULARY_FILE, Vocabulary
from stepwell_pb.v1 import feedback_pb2

_NO_HURRY_US = 60_000_000


@dataclass(frozen=True, slots=True)
class AuditedRelease:
    """What recomputes a release's features. Concurrency: immutable.

    Attributes:
        release_id: as its impressions name it.
        catalogue, vocabulary: of the release.
        items: its columns.
        hydrator: makes a user's context of packed rows; reads no store.
        profile: the features of its training; None where it keeps none.
    """

    release_id: str
    catalogue: FeatureCatalogue
    vocabulary: Vocabulary
    items: ItemColumns
    hydrator: UserHydrator
    profile: FeatureProfile | None

    @classmethod
    def load(cls, directory: Path, release_id: str) -> "AuditedRelease":
        """Reads a release's folder.

        Raises:
            DataLossError: a file is damaged.
            FailedPreconditionError: this version computes other features.
        """
        catalogue = catalogue_for(RankerConfig.load(directory))
        vocabulary = Vocabulary.load(directory / VOCABULARY_FILE)
        segments = PopularLists.load(directory / POPULAR_FILE).segment_names
        users = ReleaseUsers(directory, catalogue, vocabulary, segments)
        return cls(
            release_id,
            catalogue,
            vocabulary,
            ItemColumns.load(directory, catalogue),
            users.hydrator(NothingStored(), Metrics()),
            FeatureProfile.load(directory),
        )

    @property
    def schema_hash(self) -> bytes:
        """Of the catalogue, as impressions carry it."""
        return bytes.fromhex(self.catalogue.schema_hash())

    @property
    def dense_names(self) -> tuple[str, ...]:
        """Of the F dense features."""
        return self.catalogue.dense_names

    @property
    def item_base(self) -> npt.NDArray[Any] | None:
        """Rows [N] of ITEM_ACTIVITY as of the release; None where it reads none."""
        return self.items.activity if self.catalogue.item_features else None

    def dense(
        self,
        impression: feedback_pb2.Impression,
        candidates: CandidateSet,
        reads: Sequence[tuple[str, bytes | None]],
        item_rows: npt.NDArray[Any] | None,
    ) -> npt.NDArray[np.float32]:
        """Returns the dense features float32 [K, F] of the items shown.

        Args:
            candidates: that were scored, as retrieval gave them.
            reads: view and packed row, None where a default stands in.
            item_rows: of the candidates, rows of ITEM_ACTIVITY; None has those of the
                release. NaN for what was no candidate.
        """
        clock = FakeClock()
        query = Query(
            request_id=impression.request_id,
            user_id=impression.user_id,
            num_items=max(len(impression.items), 1),
            event_time=impression.event_time_seconds,
            deadline=Deadline.after_us(clock, _NO_HURRY_US),
            request_rows=_request_rows(impression),
        )
        stored = [(view, impression.user_id, blob) for view, blob in reads]
        user = self.hydrator.replayed(query, stored)
        features = CandidateFeatures(
            self.items, self.catalogue, self._at_rest(candidates, item_rows)
        )
        batch = features.hydrate(query, user, candidates)
        ids = [item.item_id for item in impression.items]
        return _of_shown(self.vocabulary.rows_of_ids(ids), candidates, batch.dense)

    def _at_rest(
        self, candidates: CandidateSet, item_rows: npt.NDArray[Any] | None
    ) -> RowsAtRest | None:
        if item_rows is None or self.item_base is None:
            return None
        rows = np.zeros(len(self.vocabulary), ITEM_ACTIVITY.row_dtype)
        rows[candidates.rows] = item_rows
        return RowsAtRest(rows)


def _request_rows(impression: feedback_pb2.Impression) -> Mapping[str, RowValues]:
    rows = impression.replay.rows
    return replayed_rows((row.view, row.key, row.row) for row in rows)


def _of_shown(
    shown: npt.NDArray[np.int64],
    candidates: CandidateSet,
    dense: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    places = {row: place for place, row in enumerate(candidates.rows.tolist())}
    found = np.full((len(shown), dense.shape[1]), np.nan, np.float32)
    for number, row in enumerate(shown.tolist()):
        if row in places:
            found[number] = dense[places[row]]
    return found
