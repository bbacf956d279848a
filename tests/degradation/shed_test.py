"""POPULAR -> refused -> served: only when not even POPULAR would make the deadline."""

import asyncio
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from stepwell.base.metric_names import REFUSALS
from stepwell.serving.tiny_ranker_fixture import OPTIONS, RunningRanker, running_ranker
from stepwell_pb.v1 import common_pb2, recommend_pb2

# The model card says that POPULAR takes 0.2 ms in the mean and 0.5 ms at p95.
DEADLINE_MS = 20


def _request(user: str, deadline_ms: int = 0) -> recommend_pb2.RecommendRequest:
    return recommend_pb2.RecommendRequest(
        user_id=user, num_items=5, deadline_ms=deadline_ms
    )


async def _queued(ranker: RunningRanker, number: int) -> "list[asyncio.Task[int]]":
    """Calls that wait behind one that holds the worker."""
    ranker.faults.gate.clear()
    ranker.faults.entered.clear()
    calls = [asyncio.create_task(_tier(ranker, "first"))]
    await asyncio.to_thread(ranker.faults.entered.wait)
    names = [f"user-{place}" for place in range(number)]
    calls += [asyncio.create_task(_tier(ranker, name)) for name in names]
    while ranker.ranker.queue_length < number:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)
    return calls


def _num_refused(ranker: RunningRanker) -> float:
    ranker.ranker.refresh_metrics()
    return ranker.metrics.value(REFUSALS, "overload")


async def _tier(ranker: RunningRanker, user: str) -> int:
    answer = await ranker.recommend.Recommend(_request(user))
    return int(answer.served_by.tier)


async def test_refuses_with_push_back_and_serves_again_when_the_queue_is_short(
    tmp_path: Path,
) -> None:
    async with running_ranker(tmp_path) as ranker:
        waiting = await _queued(ranker, 150)  # 150 * 0.2 ms ahead > 20 ms
        late = _request("late", DEADLINE_MS)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ranker.recommend.Recommend(late)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.details() == "overloaded: 150 requests are ahead"
        assert _retry_after_ms(caught.value) == 30
        assert _num_refused(ranker) == 1
        ranker.faults.gate.set()
        tiers = await asyncio.gather(*waiting)
        assert len(tiers) == 151
        answer = await ranker.recommend.Recommend(_request("late", 5_000))
        assert answer.served_by.tier == common_pb2.TIER_FULL


async def test_a_full_queue_refuses_one_call_with_push_back_and_keeps_the_others(
    tmp_path: Path,
) -> None:
    bound = 100
    options = replace(OPTIONS, max_queue_size=bound)
    async with running_ranker(tmp_path, options) as ranker:
        waiting = await _queued(ranker, bound)
        one_more = asyncio.create_task(_tier(ranker, "one more"))
        done, _ = await asyncio.wait(
            {*waiting, one_more}, return_when=asyncio.FIRST_COMPLETED
        )
        # The user with the highest hash gives way, whoever came last.
        (refused,) = [task.exception() for task in done]
        assert isinstance(refused, grpc.aio.AioRpcError)
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert _retry_after_ms(refused) >= bound * 200 // 1_000  # each 0.2 ms
        assert _num_refused(ranker) == 1
        assert ranker.ranker.queue_length == bound
        ranker.faults.gate.set()
        await asyncio.gather(*waiting, one_more, return_exceptions=True)
        assert _num_refused(ranker) == 1


def _retry_after_ms(error: grpc.aio.AioRpcError) -> int:
    # grpc.aio gives pairs; the stubs describe the classic API's named tuples.
    trailing: dict[str, str | bytes] = dict(error.trailing_metadata())  # type: ignore[arg-type]
    details = trailing["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    retry = error_details_pb2.RetryInfo()
    assert status_pb2.Status.FromString(details).details[0].Unpack(retry)
    retry_after_ms = int(retry.retry_delay.ToMilliseconds())
    assert trailing["grpc-retry-pushback-ms"] == str(retry_after_ms)
    return retry_after_ms
