"""What an answer was computed from, as its impression keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import DataLossError
from stepwell.base.protobuf_wire import delimited, varint
from stepwell.pipeline.candidate import SOURCE_NAMES, CandidateSet
from stepwell.schema.vocabulary import RowArray
from stepwell_pb.v1 import common_pb2, feedback_pb2

# Keys of the fields on the wire: 8 * number + type.
_SERVED, _REPLAY = b"\x4a", b"\x52"
_SCHEMA_HASH, _DENSE, _SPARSE = b"\x0a", b"\x12", b"\x1a"

StoredRow = tuple[str, str, bytes | None]
"""View, key and row as `UserContext.reads` has them."""


@dataclass(frozen=True, slots=True)
class ServedFeatures:
    """What the models were given of the K items shown.

    Attributes:
        schema_hash: of the catalogue that names the columns.
        dense: float32 [K, F], a row of NaN for an item that was never scored.
        sparse: int64 [K, T], a row of -1 for such an item.
    """

    schema_hash: bytes
    dense: npt.NDArray[np.float32]
    sparse: npt.NDArray[np.int64]

    @classmethod
    def taken(
        cls,
        schema_hash: bytes,
        dense: npt.NDArray[np.float32],
        sparse: npt.NDArray[np.int64],
        places: npt.NDArray[np.int64],
    ) -> "ServedFeatures":
        """Returns the features of a slate.

        Args:
            schema_hash: as above.
            dense, sparse: of all N candidates.
            places: int64 [K], the row there of each shown item; -1, behind all others,
                for those that were not scored.
        Cost: about 2 us for 10 items.
        """
        shown, shown_sparse = dense.take(places, axis=0), sparse.take(places, axis=0)
        if len(places) and places[-1] < 0:
            shown[places < 0], shown_sparse[places < 0] = np.nan, -1
        return cls(schema_hash, shown, shown_sparse)

    @classmethod
    def of(cls, impression: feedback_pb2.Impression) -> "ServedFeatures | None":
        """Returns what an impression says, None when it says nothing.

        Raises:
            DataLossError: the sizes do not fit the number of items.
        """
        if not impression.HasField("served"):
            return None
        served, num_items = impression.served, len(impression.items)
        return cls(
            served.schema_hash,
            _rows_of("dense", served.dense, "<f4", num_items),
            _rows_of("sparse", served.sparse, "<i8", num_items),
        )

    def field(self) -> bytes:
        """Returns its field of Impression, as on the wire. Cost: about 2 us."""
        dense = np.asarray(self.dense, "<f4").tobytes()
        sparse = np.asarray(self.sparse, "<i8").tobytes()
        named = _SCHEMA_HASH + varint(len(self.schema_hash)) + self.schema_hash
        sizes = varint(len(dense)), varint(len(sparse))
        return delimited(
            _SERVED,
            b"".join((named, _DENSE, sizes[0], dense, _SPARSE, sizes[1], sparse)),
        )


@dataclass(frozen=True, slots=True)
class ReplayInputs:
    """All that a request read that its release does not hold.

    Attributes:
        rows: of the online store, as they were used.
        num_items: K.
        retrieved_tier, scored_tier: of the wire: whose plan retrieval had, and whose
            scorer gave the scores.
        given: the candidates came from the caller.
        excluded_rows: int64 [X], never shown.
        candidates: that were scored, in their order.
        item_state: N rows of the view item_activity, b"" where none were read.
        item_state_offset: of the event log, up to which events are in `item_state`.
        index_id: of the vector index.
        failed_sources: that did not answer.
        overrides: what experiments changed of the plan, by name.
    """

    rows: tuple[StoredRow, ...]
    num_items: int
    retrieved_tier: common_pb2.Tier
    scored_tier: common_pb2.Tier
    given: bool
    excluded_rows: RowArray
    candidates: CandidateSet
    item_state: bytes
    item_state_offset: int
    index_id: str
    failed_sources: tuple[str, ...]
    overrides: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, impression: feedback_pb2.Impression) -> "ReplayInputs | None":
        """Returns what an impression says, None when it says nothing.

        Raises:
            DataLossError: the columns of the candidates have different lengths.
        """
        if not impression.HasField("replay"):
            return None
        inputs = impression.replay
        rows = np.frombuffer(inputs.candidate_rows, "<i8")
        num_sources = len(SOURCE_NAMES)
        scores = _rows_of("source_scores", inputs.source_scores, "<f4", len(rows))
        ranks = _rows_of("source_ranks", inputs.source_ranks, "<i2", len(rows))
        if len(rows) and not scores.shape[1] == ranks.shape[1] == num_sources:
            raise DataLossError(
                f"source_scores of an impression has {scores.shape[1]} columns, "
                f"must be {num_sources}"
            )
        return cls(
            rows=tuple([_stored_row(row) for row in inputs.rows]),
            num_items=inputs.num_items,
            retrieved_tier=inputs.retrieved_tier,
            scored_tier=inputs.scored_tier,
            given=inputs.given,
            excluded_rows=np.frombuffer(inputs.excluded_rows, "<i8"),
            candidates=CandidateSet(rows, scores, ranks),
            item_state=inputs.item_state,
            item_state_offset=inputs.item_state_offset,
            index_id=inputs.index_id,
            failed_sources=tuple(inputs.failed_sources),
            overrides={one.name: one.value for one in inputs.overrides},
        )

    def field(self) -> bytes:
        """Returns its field of Impression, as on the wire.

        Cost: about 20 us for 500 candidates.
        """
        found = self.candidates
        inputs = feedback_pb2.ReplayInputs(
            rows=[
                feedback_pb2.StoredRow(view=view, key=key, row=row)
                for view, key, row in self.rows
            ],
            num_items=self.num_items,
            retrieved_tier=self.retrieved_tier,
            scored_tier=self.scored_tier,
            given=self.given,
            excluded_rows=np.asarray(self.excluded_rows, "<i8").tobytes(),
            candidate_rows=np.asarray(found.rows, "<i8").tobytes(),
            source_scores=np.asarray(found.source_scores, "<f4").tobytes(),
            source_ranks=np.asarray(found.source_ranks, "<i2").tobytes(),
            item_state=self.item_state,
            item_state_offset=self.item_state_offset,
            index_id=self.index_id,
            failed_sources=self.failed_sources,
            overrides=[
                feedback_pb2.PlanOverride(name=name, value=value)
                for name, value in self.overrides.items()
            ],
        )
        return delimited(_REPLAY, inputs.SerializeToString())


def _stored_row(row: feedback_pb2.StoredRow) -> StoredRow:
    return row.view, row.key, row.row if row.HasField("row") else None


def _rows_of(name: str, data: bytes, kind: str, num_rows: int) -> Any:
    """Returns a matrix of `num_rows` rows, as wide as the bytes make it."""
    size = np.dtype(kind).itemsize
    width, rest = divmod(len(data), size * num_rows) if num_rows else (0, len(data))
    if rest:
        raise DataLossError(
            f"{name} of an impression has {len(data)} bytes, "
            f"must be a multiple of {num_rows} x {size}"
        )
    return np.frombuffer(data, kind).reshape(num_rows, width)
