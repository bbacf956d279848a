"""What an impression keeps of its request comes back as it went in."""

from dataclasses import replace

import numpy as np
import pytest

from stepwell.base.errors import DataLossError
from stepwell.feedback.served_request import ReplayInputs, ServedFeatures
from stepwell.pipeline.candidate import SOURCE_NAMES, CandidateSet
from stepwell_pb.v1 import common_pb2, feedback_pb2

S = len(SOURCE_NAMES)
RANDOM = np.random.default_rng(1)
DENSE = RANDOM.random((7, 3), np.float32)
SPARSE = RANDOM.integers(0, 1 << 40, (7, 2))
HASH = bytes(range(32))
INPUTS = ReplayInputs(
    rows=(("history", "ann", b"row"), ("activity", "ann", None)),
    num_items=5,
    retrieved_tier=common_pb2.TIER_FULL,
    scored_tier=common_pb2.TIER_REDUCED,
    given=True,
    excluded_rows=np.array([9, 1 << 33]),
    candidates=CandidateSet(
        RANDOM.permutation(7),
        RANDOM.random((7, S), np.float32),
        RANDOM.integers(-1, 500, (7, S)).astype(np.int16),
    ),
    item_state=b"state",
    item_state_offset=77,
    index_id="ab",
    failed_sources=("ann",),
    overrides={"ef_search": 128.0, "source_limits.ann": 50.0},
)


def parsed(field: bytes, num_items: int = 0) -> feedback_pb2.Impression:
    impression = feedback_pb2.Impression.FromString(field)
    impression.items.extend([feedback_pb2.ShownItem()] * num_items)
    return impression


def test_the_features_of_a_slate_are_those_of_its_places() -> None:
    served = ServedFeatures.taken(HASH, DENSE, SPARSE, np.array([6, 0, 2]))
    back = ServedFeatures.of(parsed(served.field(), 3))
    assert back is not None
    assert back.schema_hash == HASH
    assert np.array_equal(back.dense, DENSE[[6, 0, 2]])
    assert np.array_equal(back.sparse, SPARSE[[6, 0, 2]])


def test_what_was_never_scored_has_no_features() -> None:
    served = ServedFeatures.taken(HASH, DENSE, SPARSE, np.array([4, -1, -1]))
    assert np.array_equal(served.dense[0], DENSE[4])
    assert np.isnan(served.dense[1:]).all()
    assert (served.sparse[1:] == -1).all()
    assert not np.isnan(DENSE).any()  # the candidates' own are as they were


def test_the_bytes_are_those_that_protobuf_writes() -> None:
    served = ServedFeatures.taken(HASH, DENSE, SPARSE, np.arange(7))
    message = feedback_pb2.ServedFeatures(
        schema_hash=HASH, dense=DENSE.tobytes(), sparse=SPARSE.tobytes()
    )
    impression = feedback_pb2.Impression(served=message)
    assert served.field() == impression.SerializeToString()


def test_an_empty_slate_has_no_rows() -> None:
    served = ServedFeatures.taken(HASH, DENSE, SPARSE, np.zeros(0, np.int64))
    back = ServedFeatures.of(parsed(served.field()))
    assert back is not None
    assert len(back.dense) == len(back.sparse) == 0


def test_an_impression_without_them_says_so() -> None:
    empty = feedback_pb2.Impression()
    assert ServedFeatures.of(empty) is None
    assert ReplayInputs.of(empty) is None


def test_features_that_fit_no_number_of_items_are_damage() -> None:
    served = ServedFeatures.taken(HASH, DENSE, SPARSE, np.array([6, 0, 2]))
    with pytest.raises(DataLossError, match="dense of an impression has 36 bytes"):
        ServedFeatures.of(parsed(served.field(), 4))
    with pytest.raises(DataLossError, match="must be a multiple of 1 x 4"):
        ServedFeatures.of(
            feedback_pb2.Impression(
                items=[feedback_pb2.ShownItem()],
                served=feedback_pb2.ServedFeatures(dense=b"12345"),
            )
        )


def test_what_a_request_read_comes_back() -> None:
    back = ReplayInputs.of(parsed(INPUTS.field()))
    assert back is not None
    assert back.excluded_rows.tolist() == INPUTS.excluded_rows.tolist()
    assert np.array_equal(back.candidates.rows, INPUTS.candidates.rows)
    assert np.array_equal(
        back.candidates.source_scores, INPUTS.candidates.source_scores
    )
    assert np.array_equal(back.candidates.source_ranks, INPUTS.candidates.source_ranks)
    same = {"excluded_rows": back.excluded_rows, "candidates": back.candidates}
    assert replace(INPUTS, **same) == back  # type: ignore[arg-type]


def test_a_row_that_is_missing_and_one_that_is_empty_are_told_apart() -> None:
    rows = (("history", "ann", b""), ("activity", "ann", None))
    back = ReplayInputs.of(parsed(replace(INPUTS, rows=rows).field()))
    assert back is not None
    assert back.rows == rows


def test_candidates_in_columns_of_different_lengths_are_damage() -> None:
    impression = parsed(INPUTS.field())
    impression.replay.source_scores = impression.replay.source_scores[: 7 * 4]
    with pytest.raises(DataLossError, match="1 columns, must be"):
        ReplayInputs.of(impression)
