"""Computes a logged answer again, and says where it comes out otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stepwell.base.clock import Clock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import DataLossError, FailedPreconditionError
from stepwell.base.metrics import Metrics
from stepwell.features.catalogue import FeatureCatalogue, catalogue_for
from stepwell.features.release_users import NothingStored
from stepwell.features.request_features import replayed_rows
from stepwell.features.user_hydrator import UserHydrator
from stepwell.feedback.item_overlay import ItemOverlay
from stepwell.feedback.item_state import ItemRows
from stepwell.feedback.served_request import ReplayInputs, ServedFeatures
from stepwell.models.ranker_config import RankerConfig
from stepwell.pipeline.overrides import PlanOverrides
from stepwell.pipeline.query import Query
from stepwell.pipeline.slate import Slate
from stepwell.releases.manifest import Manifest
from stepwell.schema.feature_registry import ITEM_ACTIVITY
from stepwell.schema.vocabulary import RowArray, Vocabulary
from stepwell.serving.call import TIER_OF_WIRE
from stepwell.serving.engine import Engine
from stepwell.serving.engine_builder import EngineBuilder, EngineOptions
from stepwell_pb.v1 import feedback_pb2

NOTHING = NothingStored()
_NO_HURRY_US = 60_000_000
FEATURE, ITEM, SCORE, LENGTH = "feature", "item", "score", "length"


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a replay and the log part.

    Attributes:
        kind: "feature", "item", "score" or "length", of the slate.
        name: of the feature, else as `kind`.
        place: in the slate, from 0.
        item_id: that was shown there.
        logged, replayed: the two values.
    """

    kind: str
    name: str
    place: int
    item_id: str
    logged: str
    replayed: str

    def __str__(self) -> str:
        where = f"place {self.place + 1} ({self.item_id})"
        return f"{self.name} of {where}: logged {self.logged}, now {self.replayed}"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one logged request.

    Attributes:
        request_id, release_id: of the impression.
        num_features: compared, over all items that were shown.
        differences: the first of each kind, features first: what a wrong score comes
            from stands before it. Empty when every bit is the same.
    """

    request_id: str
    release_id: str
    num_features: int = 0
    differences: tuple[Difference, ...] = ()

    @property
    def is_same(self) -> bool:
        """Every bit came out the same."""
        return not self.differences


@dataclass(slots=True)
class RecordedItems:
    """The items' rows as requests read them, where the log moves them in serving."""

    overlays: list[ItemOverlay] = field(default_factory=list)

    def overlay_of(self, vocabulary: Vocabulary, base: ItemRows) -> ItemOverlay:
        """Returns rows that only `show` changes."""
        self.overlays.append(ItemOverlay(vocabulary, base))
        return self.overlays[-1]

    def show(self, rows: RowArray, state: bytes) -> None:
        """Sets the rows of these items.

        Args:
            rows: int64 [N], of the items.
            state: N rows of ITEM_ACTIVITY.
        Raises:
            DataLossError: `state` has another size.
        """
        size = ITEM_ACTIVITY.row_dtype.itemsize
        if len(state) != size * len(rows):
            raise DataLossError(
                f"item_state of an impression has {len(state)} bytes, must be "
                f"{len(rows)} x {size}"
            )
        for overlay in self.overlays:
            overlay.rows[rows] = np.frombuffer(state, ITEM_ACTIVITY.row_dtype)


class Replayer:
    """Repeats requests of one release; no store, index or network is asked.

    Concurrency: one thread. Cost: that of the stages after retrieval.
    """

    def __init__(
        self, engine: Engine, items: RecordedItems, catalogue: FeatureCatalogue
    ) -> None:
        hydrator = engine.executor.stages.query_hydrator
        if not isinstance(hydrator, UserHydrator):
            raise FailedPreconditionError("this engine's users cannot be told again")
        self._hydrator = hydrator
        self._engine = engine
        self._items = items
        self._names = (*catalogue.dense_names, *catalogue.sparse_names)
        self._reads_items = bool(catalogue.item_features)

    @classmethod
    def of_release(
        cls,
        directory: Path,
        manifest: Manifest,
        clock: Clock,
        options: EngineOptions,
    ) -> "Replayer":
        """Returns the replayer of a verified release.

        Args:
            options: as the server had that wrote the log.
        Raises:
            StepwellError: the release cannot be served.
        """
        items = RecordedItems()
        builder = EngineBuilder(NOTHING, clock, Metrics(), options, items)
        space = manifest.metadata.embedding_space_hash
        engine = builder.build_from(directory, manifest.release_id, space)
        return cls(engine, items, catalogue_for(RankerConfig.load(directory)))

    def replay(self, impression: feedback_pb2.Impression) -> Replayed:
        """Computes the answer again and compares features, items and scores, by bits.

        Raises:
            FailedPreconditionError: the impression does not say all that was read, or
                is of another release.
            DataLossError: what it says is damaged.
        """
        inputs = self._inputs(impression)
        if self._reads_items:
            self._items.show(inputs.candidates.rows, inputs.item_state)
        query = self._query(impression, inputs)
        user = self._hydrator.replayed(query, inputs.rows)
        slate = self._engine.executor.repeated(
            query,
            user,
            inputs.candidates,
            TIER_OF_WIRE[inputs.scored_tier],
            TIER_OF_WIRE[impression.tier],
        )
        return self._compared(impression, slate)

    def _inputs(self, impression: feedback_pb2.Impression) -> ReplayInputs:
        inputs = ReplayInputs.of(impression)
        if inputs is None:
            raise FailedPreconditionError(
                f"request {impression.request_id} was not logged with all that it "
                "read: see --replayable_share of the ranker"
            )
        own = self._engine.facts.release_id
        if impression.release_id != own:
            raise FailedPreconditionError(
                f"request {impression.request_id} is of release "
                f"{impression.release_id}, not of {own}"
            )
        if self._reads_items and len(inputs.candidates) and not inputs.item_state:
            raise FailedPreconditionError(
                f"request {impression.request_id} was logged without its items' rows: "
                "they changed while it read them"
            )
        return inputs

    def _query(
        self, impression: feedback_pb2.Impression, inputs: ReplayInputs
    ) -> Query:
        return Query(
            request_id=impression.request_id,
            user_id=impression.user_id,
            num_items=inputs.num_items,
            event_time=impression.event_time_seconds,
            deadline=Deadline.after_us(self._engine.clock, _NO_HURRY_US),
            excluded_rows=inputs.excluded_rows,
            given_rows=inputs.candidates.rows if inputs.given else None,
            surface=impression.surface,
            request_rows=replayed_rows(inputs.rows),
            overrides=PlanOverrides.of(inputs.overrides) if inputs.overrides else None,
        )

    def _compared(self, impression: feedback_pb2.Impression, slate: Slate) -> Replayed:
        served = ServedFeatures.of(impression)
        labels = self._engine.facts.labels
        rows = slate.ranked.candidates.rows.tolist()
        found = [*self._of_features(impression, served, slate)]
        logged_ids = [item.item_id for item in impression.items]
        ids = [labels.of_row(row).item_id for row in rows]
        found += _first_of(ITEM, logged_ids, logged_ids, ids)
        logged = np.array([item.score for item in impression.items], np.float32)
        found += _first_score(logged_ids, logged, slate.ranked.scores)
        num_features = 0 if served is None else len(logged_ids) * len(self._names)
        return Replayed(
            impression.request_id, impression.release_id, num_features, tuple(found)
        )

    def _of_features(
        self,
        impression: feedback_pb2.Impression,
        served: ServedFeatures | None,
        slate: Slate,
    ) -> list[Difference]:
        """The first feature, in the catalogue's order, that is not what it was."""
        facts, computed = self._engine.facts, slate.computed
        if served is None or computed is None:
            return []
        ids = [item.item_id for item in impression.items]
        own_rows = facts.vocabulary.rows_of_ids(ids)
        place_of = {row: at for at, row in enumerate(computed.candidates.rows.tolist())}
        at = np.array([place_of.get(row, -1) for row in own_rows.tolist()], np.int64)
        now = ServedFeatures.taken(
            served.schema_hash, computed.features.dense, computed.features.sparse, at
        )
        logged = np.hstack([_bits(served.dense), served.sparse])
        replayed = np.hstack([_bits(now.dense), now.sparse])
        differs = (logged != replayed) & (at >= 0)[:, None]
        if not differs.any():
            return []
        column = int(np.flatnonzero(differs.any(axis=0))[0])
        place = int(np.flatnonzero(differs[:, column])[0])
        num_dense = served.dense.shape[1]
        values = [
            features.dense[place, column]
            if column < num_dense
            else features.sparse[place, column - num_dense]
            for features in (served, now)
        ]
        name, item_id = self._names[column], ids[place]
        shown = (str(values[0]), str(values[1]))
        return [Difference(FEATURE, name, place, item_id, *shown)]


def _bits(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Floats as their bits: a NaN is the same as itself, -0 is not 0."""
    return np.ascontiguousarray(numbers).view(np.int32).astype(np.int64)


def _first_of(
    kind: str, ids: Sequence[str], logged: Sequence[str], replayed: Sequence[str]
) -> list[Difference]:
    for place, (was, is_now) in enumerate(zip(logged, replayed, strict=False)):
        if was != is_now:
            return [Difference(kind, kind, place, ids[place], was, is_now)]
    if len(logged) == len(replayed):
        return []
    last = min(len(logged), len(replayed))
    sizes = (str(len(logged)), str(len(replayed)))
    return [
        Difference(LENGTH, LENGTH, last, ids[last] if last < len(ids) else "", *sizes)
    ]


def _first_score(
    ids: Sequence[str],
    logged: npt.NDArray[np.float32],
    replayed: npt.NDArray[np.float32],
) -> list[Difference]:
    length = min(len(logged), len(replayed))
    own = np.asarray(replayed[:length], np.float32)
    differs = np.flatnonzero(_bits(logged[:length]) != _bits(own))
    if not len(differs):
        return []
    at = int(differs[0])
    values = (repr(float(logged[at])), repr(float(own[at])))
    return [Difference(SCORE, SCORE, at, ids[at], *values)]
