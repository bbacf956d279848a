"""What a ranker's answers leave in the event log."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stepwell.feedback.logged_events import decoded
from stepwell.feedback.served_request import ReplayInputs, ServedFeatures
from stepwell.serving.ranker_options import RankerOptions
from stepwell.serving.shown_slates import LoggedShares
from stepwell.serving.tiny_ranker_fixture import OPTIONS, running_ranker
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import common_pb2, feedback_pb2, recommend_pb2

EVERYTHING = replace(OPTIONS, logged=LoggedShares(1_000_000, 1_000_000))
NOTHING = replace(OPTIONS, logged=LoggedShares(0, 0))


def _request(request_id: str, **fields: object) -> recommend_pb2.RecommendRequest:
    values: dict[str, object] = {"user_id": "ann", "num_items": 5, **fields}
    return recommend_pb2.RecommendRequest(request_id=request_id, **values)  # type: ignore[arg-type]


def _impressions(folder: Path) -> list[feedback_pb2.Impression]:
    log = LmdbEventLog(folder / "events")
    events = [decoded(stored).event for stored in log.read(0, 10)]
    log.close()
    return [event for event in events if isinstance(event, feedback_pb2.Impression)]


async def test_what_was_shown_is_in_the_log_after_the_drain(tmp_path: Path) -> None:
    async with running_ranker(tmp_path) as ranker:
        answer = await ranker.recommend.Recommend(_request("shown"))
    (impression,) = _impressions(tmp_path)
    assert (impression.request_id, impression.user_id) == ("shown", "ann")
    assert [i.item_id for i in impression.items] == [i.item_id for i in answer.items]
    assert [item.propensity for item in impression.items] == [1.0] * 5
    assert impression.release_id == "v000001"


async def test_the_features_in_the_log_are_those_that_were_scored(
    tmp_path: Path,
) -> None:
    async with running_ranker(tmp_path) as ranker:
        answer = await ranker.recommend.Recommend(_request("shown"))
    (impression,) = _impressions(tmp_path)
    served = ServedFeatures.of(impression)
    assert served is not None
    # The tiny ranker's score is the sum of its features.
    scores = [item.score for item in answer.items]
    assert served.dense.sum(axis=1).tolist() == scores
    assert served.sparse.shape == (5, 0)


async def test_what_a_request_read_is_enough_to_score_its_candidates_again(
    tmp_path: Path,
) -> None:
    async with running_ranker(tmp_path, EVERYTHING) as ranker:
        request = _request("shown", exclude_item_ids=["item-2"])
        answer = await ranker.recommend.Recommend(request)
    (impression,) = _impressions(tmp_path)
    inputs = ReplayInputs.of(impression)
    assert inputs is not None
    assert (inputs.num_items, inputs.given) == (5, False)
    assert inputs.retrieved_tier == inputs.scored_tier == common_pb2.TIER_FULL
    assert inputs.excluded_rows.tolist() == [2]
    totals = inputs.candidates.source_scores.sum(axis=1)
    best = np.sort(totals)[::-1][:5]
    assert set(best.tolist()) >= {item.score for item in answer.items[:3]}
    assert 2 not in inputs.candidates.rows


@pytest.mark.parametrize(
    ("options", "tier"),
    [(EVERYTHING, common_pb2.TIER_POPULAR), (NOTHING, common_pb2.TIER_FULL)],
    ids=["from memory", "share of none"],
)
async def test_an_answer_from_memory_and_a_share_of_none_leave_the_slate_alone(
    tmp_path: Path, options: RankerOptions, tier: common_pb2.Tier
) -> None:
    async with running_ranker(tmp_path, options) as ranker:
        await ranker.recommend.Recommend(_request("shown", forced_tier=tier))
    (impression,) = _impressions(tmp_path)
    assert len(impression.items) == 5
    assert not impression.HasField("served")
    assert not impression.HasField("replay")


async def test_a_users_arms_change_its_answers_and_are_in_the_log(
    tmp_path: Path,
) -> None:
    arms = [
        {"name": "control", "num_buckets": 5_000},
        {"name": "few", "num_buckets": 5_000, "overrides": {"num_candidates": 2}},
    ]
    experiment = {"name": "candidates", "first_bucket": 0, "arms": arms}
    layer = {"name": "retrieval", "salt": "s", "experiments": [experiment]}
    path = tmp_path / "experiments.json"
    path.write_text(json.dumps({"format_version": 1, "layers": [layer]}))
    users = [f"user-{number}" for number in range(8)]
    async with running_ranker(tmp_path, EVERYTHING, experiments=path) as ranker:
        for user in users:
            await ranker.recommend.Recommend(_request(f"of-{user}", user_id=user))
    seen = set()
    for impression in _impressions(tmp_path):
        (exposure,) = impression.exposures
        inputs = ReplayInputs.of(impression)
        assert inputs is not None
        seen.add(exposure.arm)
        assert exposure.experiment == "candidates"
        is_few = exposure.arm == "few"
        assert (exposure.bucket >= 5_000) == is_few
        assert inputs.overrides == ({"num_candidates": 2} if is_few else {})
        assert (len(inputs.candidates) == 2) == is_few
    assert seen == {"control", "few"}


async def test_without_experiments_nobody_is_in_an_arm(tmp_path: Path) -> None:
    async with running_ranker(tmp_path) as ranker:
        await ranker.recommend.Recommend(_request("shown"))
    (impression,) = _impressions(tmp_path)
    assert not impression.exposures
