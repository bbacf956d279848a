"""FULL -> REDUCED -> FULL: enter when FULL is dear, serve, leave when it is well."""

from dataclasses import replace
from pathlib import Path

from structlog.testing import capture_logs

from stepwell.base.metric_names import ANSWERS, DEGRADATION_REASONS
from stepwell.serving.degradation_log import QUIET_US
from stepwell.serving.tiny_ranker_fixture import OPTIONS, RunningRanker, running_ranker
from stepwell_pb.v1 import common_pb2, recommend_pb2

BUDGET_US = OPTIONS.ladder.latency_budget_us
WINDOW_US = 4_000_000
_HALF = replace(OPTIONS, ladder=replace(OPTIONS.ladder, initial_fit_ppm=500_000))


async def _tier(ranker: RunningRanker) -> tuple[int, list[int]]:
    request = recommend_pb2.RecommendRequest(user_id="stranger", num_items=5)
    answer = await ranker.recommend.Recommend(request)
    assert len(answer.items) == 5
    reasons = [
        r for r in answer.served_by.reasons if r != common_pb2.REASON_MISSING_USER
    ]
    return answer.served_by.tier, reasons


async def test_steps_down_while_full_is_slow_and_back_when_it_is_not(
    tmp_path: Path,
) -> None:
    full: tuple[int, list[int]] = (common_pb2.TIER_FULL, [])
    reduced = (common_pb2.TIER_REDUCED, [common_pb2.REASON_BACKLOG])
    with capture_logs() as lines:
        async with running_ranker(tmp_path, _HALF) as ranker:
            assert await _tier(ranker) == full
            # Answers at 60 % of the budget, two as one is no pattern: p95 no longer
            # fits f = 50 %.
            ranker.faults.delays_us["ranking_full"] = int(0.6 * BUDGET_US)
            for _ in range(2):
                assert await _tier(ranker) == full
            del ranker.faults.delays_us["ranking_full"]
            for _ in range(20):
                assert await _tier(ranker) == reduced
            # The window has forgotten the slow answer: the model card counts again.
            ranker.faults.clock.skip_us(WINDOW_US + 500_000)
            assert await _tier(ranker) == full
            ranker.faults.clock.skip_us(QUIET_US)
            assert await _tier(ranker) == full
            assert ranker.metrics.value(ANSWERS, "reduced") == 20
            assert ranker.metrics.value(DEGRADATION_REASONS, "backlog") == 20
    spoken = [line["event"] for line in lines if line.get("reason") == "backlog"]
    assert spoken == ["degraded", "recovered"]


async def test_a_slow_full_answer_is_itself_cut_short_in_flight(tmp_path: Path) -> None:
    async with running_ranker(tmp_path) as ranker:
        ranker.faults.delays_us["features"] = BUDGET_US * 3
        tier, reasons = await _tier(ranker)
        assert tier == common_pb2.TIER_POPULAR
        assert reasons == [common_pb2.REASON_DEADLINE_FEATURES]
