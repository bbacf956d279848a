"""FULL -> POPULAR -> FULL: the store fails, its breaker opens, then it is well."""

from pathlib import Path

from structlog.testing import capture_logs

from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import ANSWERS, DEGRADATION_REASONS
from stepwell.degradation.circuit_breaker import BreakerState
from stepwell.serving.degradation_log import QUIET_US
from stepwell.serving.tiny_ranker_fixture import RunningRanker, running_ranker
from stepwell_pb.v1 import common_pb2, feedback_pb2, recommend_pb2

STORE_DOWN = (common_pb2.TIER_POPULAR, [common_pb2.REASON_BREAKER_STORE])
NUM_CALLS = 30


async def _ask(ranker: RunningRanker) -> recommend_pb2.RecommendResponse:
    request = recommend_pb2.RecommendRequest(user_id="ann", num_items=5)
    answer: recommend_pb2.RecommendResponse = await ranker.recommend.Recommend(request)
    return answer


def _summary(answer: recommend_pb2.RecommendResponse) -> tuple[int, list[int]]:
    return answer.served_by.tier, list(answer.served_by.reasons)


async def test_serves_the_last_slate_while_the_store_is_gone(tmp_path: Path) -> None:
    full: tuple[int, list[int]] = (common_pb2.TIER_FULL, [])
    with capture_logs() as lines:
        async with running_ranker(tmp_path) as ranker:
            await _buy(ranker)
            before = await _ask(ranker)
            assert _summary(before) == full
            ranker.faults.errors["store"] = UnavailableError("gone")
            asked_the_store = []
            for _ in range(NUM_CALLS):
                answer = await _ask(ranker)
                assert _summary(answer) == STORE_DOWN
                assert _ids(answer) == _ids(before)
                asked_the_store.append("hydrate" in answer.served_by.stage_us)
            # Once the breaker is open nobody waits for the store any more.
            assert asked_the_store[0]
            assert not asked_the_store[-1]
            assert _state(ranker) is BreakerState.OPEN
            del ranker.faults.errors["store"]
            assert _summary(await _ask(ranker)) == STORE_DOWN
            ranker.faults.clock.skip_us(1_000_000)
            for _ in range(3):
                assert _summary(await _ask(ranker)) == full
            assert _state(ranker) is BreakerState.CLOSED
            ranker.faults.clock.skip_us(QUIET_US)
            assert _summary(await _ask(ranker)) == full
            num_popular = NUM_CALLS + 1
            assert ranker.metrics.value(ANSWERS, "popular") == num_popular
            counted = ranker.metrics.value(DEGRADATION_REASONS, "breaker_store")
            assert counted == num_popular
    spoken = [line["event"] for line in lines if line.get("reason") == "breaker_store"]
    assert spoken == ["degraded", "recovered"]


async def test_a_stranger_gets_the_popular_list_while_the_store_is_gone(
    tmp_path: Path,
) -> None:
    async with running_ranker(tmp_path) as ranker:
        ranker.faults.errors["store"] = UnavailableError("gone")
        answer = await _ask(ranker)
        assert _summary(answer) == STORE_DOWN
        assert not answer.served_by.HasField("cached_slate_age_ms")
        assert _ids(answer)[:2] == ["item-0", "item-1"]


def _ids(answer: recommend_pb2.RecommendResponse) -> list[str]:
    return [item.item_id for item in answer.items]


async def _buy(ranker: RunningRanker) -> None:
    event = feedback_pb2.Event(
        event_id="e",
        user_id="ann",
        item_id="item-9",
        event_type=common_pb2.EVENT_TYPE_PURCHASE,
    )
    await ranker.feedback.LogEvents(feedback_pb2.LogEventsRequest(events=[event]))


def _state(ranker: RunningRanker) -> BreakerState:
    return ranker.breaker.state(ranker.faults.clock.monotonic_us())
