from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.experiments.exposure import Exposure
from stepwell.feedback.logged_events import impression_record
from stepwell.feedback.served_request import ReplayInputs, ServedFeatures
from stepwell.feedback.shown_slate import ShownSlate
from stepwell.pipeline.candidate import CandidateSet
from stepwell_pb.v1 import common_pb2, feedback_pb2

NOW_US = 1_763_000_000_123_456
SLATE = ShownSlate(
    request_id="r1",
    user_id="u",
    event_time_seconds=1_000,
    surface="home",
    tier=common_pb2.TIER_REDUCED,
    reasons=(common_pb2.REASON_BACKLOG, common_pb2.REASON_NO_RELEASE),
    release_id="v000003",
    item_ids=("a", "b"),
    scores=np.array([0.5, 0.25], np.float32),
)


def message_of(slate: ShownSlate) -> feedback_pb2.Impression:
    """The same slate, made field by field."""
    n = len(slate.item_ids)
    certain = np.ones(n, np.float32)
    propensities = certain if slate.propensities is None else slate.propensities
    return feedback_pb2.Impression(
        request_id=slate.request_id,
        user_id=slate.user_id,
        event_time_seconds=slate.event_time_seconds,
        surface=slate.surface,
        tier=slate.tier,
        reasons=slate.reasons,
        release_id=slate.release_id,
        items=[
            feedback_pb2.ShownItem(
                item_id=slate.item_ids[place],
                score=float(slate.scores[place]),
                propensity=float(propensities[place]),
            )
            for place in range(n)
        ],
        served=None if slate.served is None else served_message(slate.served),
        replay=None if slate.replay is None else replay_message(slate.replay),
        exposures=[
            feedback_pb2.Exposure(
                experiment=one.experiment, arm=one.arm, bucket=one.bucket
            )
            for one in slate.exposures
        ],
    )


def served_message(served: ServedFeatures) -> feedback_pb2.ServedFeatures:
    return feedback_pb2.ServedFeatures(
        schema_hash=served.schema_hash,
        dense=served.dense.tobytes(),
        sparse=served.sparse.tobytes(),
    )


def replay_message(replay: ReplayInputs) -> feedback_pb2.ReplayInputs:
    return feedback_pb2.Impression.FromString(replay.field()).replay


def assert_is_its_message(slate: ShownSlate, now_us: int = NOW_US) -> None:
    record, expected = (
        slate.record(now_us),
        impression_record(message_of(slate), now_us),
    )
    assert record.event_id == expected.event_id
    parse = feedback_pb2.LoggedEvent.FromString
    assert parse(record.payload) == parse(expected.payload)


def test_the_bytes_of_a_common_slate_are_those_that_protobuf_writes() -> None:
    expected = impression_record(message_of(SLATE), NOW_US)
    assert SLATE.record(NOW_US) == expected


def test_what_it_was_computed_from_is_a_part_of_the_line() -> None:
    dense = np.random.default_rng(0).random((2, 90), np.float32)
    served = ServedFeatures(bytes(32), dense, np.arange(14).reshape(2, 7))
    candidates = CandidateSet.of_rows(np.arange(500))
    tier = common_pb2.TIER_FULL
    replay = ReplayInputs(
        (), 2, tier, tier, False, np.zeros(0, np.int64), candidates, b"", 0, "", ()
    )
    kept = replace(SLATE, served=served, replay=replay)
    assert kept.record(NOW_US) == impression_record(message_of(kept), NOW_US)


@pytest.mark.parametrize("bucket", [0, 1, 127, 128, 9_999])
def test_the_arms_of_its_user_are_a_part_of_the_line(bucket: int) -> None:
    exposed = replace(
        SLATE,
        exposures=(Exposure("search", "wide", bucket), Exposure("mix", "é", 7)),
    )
    assert exposed.record(NOW_US) == impression_record(message_of(exposed), NOW_US)


def test_a_slate_without_items_or_texts_is_a_line_too() -> None:
    bare = replace(
        SLATE,
        request_id="",
        user_id="",
        event_time_seconds=0,
        surface="",
        reasons=(),
        release_id="",
        item_ids=(),
        scores=np.zeros(0, np.float32),
    )
    assert_is_its_message(bare, now_us=0)


def test_the_largest_slate_is_its_message() -> None:
    ids = tuple(f"{n:0256d}" for n in range(2_000))
    scores = np.linspace(-1, 1, 2_000, dtype=np.float32)
    large = replace(SLATE, request_id="r" * 256, item_ids=ids, scores=scores)
    assert_is_its_message(large)


@pytest.mark.parametrize("size", [127, 128, 16_383, 16_384])
def test_sizes_and_times_at_the_edge_of_another_byte_are_written(size: int) -> None:
    text = "x" * size
    for slate in (
        replace(SLATE, request_id=text, event_time_seconds=size),
        replace(SLATE, user_id=text),
        # Of the item: its id, and all of it.
        replace(SLATE, item_ids=(text, text[14:])),
    ):
        assert_is_its_message(slate, now_us=size)


def test_scores_that_are_no_row_of_bytes_in_memory_are_written_in_order() -> None:
    every_other = np.arange(4, dtype=np.float32)[::2]
    assert_is_its_message(replace(SLATE, scores=every_other))


def test_a_score_too_few_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        replace(SLATE, scores=SLATE.scores[:1]).record(NOW_US)


_TEXTS = st.text(max_size=300)
_FLOATS = st.floats(width=32, allow_nan=False)


@given(
    texts=st.tuples(_TEXTS, _TEXTS, _TEXTS, _TEXTS),
    seconds=st.integers(0, 1 << 62),
    tier=st.sampled_from(common_pb2.Tier.values()),
    reasons=st.lists(st.sampled_from(common_pb2.Reason.values()), max_size=16),
    items=st.lists(st.tuples(_TEXTS, _FLOATS, _FLOATS), max_size=20),
    certain=st.booleans(),
    arms=st.lists(st.tuples(_TEXTS, _TEXTS, st.integers(0, 9_999)), max_size=4),
    now_us=st.integers(0, 1 << 62),
)
def test_whatever_is_shown_its_bytes_parse_to_its_message(
    texts: tuple[str, str, str, str],
    seconds: int,
    tier: common_pb2.Tier,
    reasons: list[common_pb2.Reason],
    items: list[tuple[str, float, float]],
    certain: bool,
    arms: list[tuple[str, str, int]],
    now_us: int,
) -> None:
    slate = ShownSlate(
        request_id=texts[0],
        user_id=texts[1],
        event_time_seconds=seconds,
        surface=texts[2],
        tier=tier,
        reasons=tuple(reasons),
        release_id=texts[3],
        item_ids=tuple(item for item, _, _ in items),
        scores=np.array([score for _, score, _ in items], np.float32),
        propensities=None
        if certain
        else np.array([propensity for _, _, propensity in items], np.float32),
        exposures=tuple(Exposure(*arm) for arm in arms),
    )
    assert_is_its_message(slate, now_us)
