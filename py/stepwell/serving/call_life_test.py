"""How calls end that are not answered: no deadline, callers who leave, a flood."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from stepwell.base.metric_names import ANSWERS
from stepwell.serving.tiny_ranker_fixture import (
    OPTIONS,
    RunningRanker,
    ranker,
    running_ranker,
)
from stepwell_pb.v1 import common_pb2, recommend_pb2

__all__ = ["ranker"]  # the fixture that the tests ask for by name

NUM_FLOOD = 200
MAX_WAITING = 8


def _request(user: str = "u", deadline_ms: int = 0) -> recommend_pb2.RecommendRequest:
    """A request that waits for a worker, whatever stands before it."""
    return recommend_pb2.RecommendRequest(
        user_id=user,
        num_items=5,
        deadline_ms=deadline_ms,
        forced_tier=common_pb2.TIER_FULL,
    )


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)


class _Struck(dict[str, Exception]):
    """The errors of no stage, which notes the stages that come by."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: list[str] = []

    def __contains__(self, stage: object) -> bool:
        self.stages.append(str(stage))
        return False


async def test_a_call_without_a_deadline_is_refused_where_one_is_required(
    tmp_path: Path,
) -> None:
    options = replace(OPTIONS, deadline_required=True)
    async with running_ranker(tmp_path, options) as ranker:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ranker.recommend.Recommend(_request())
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert str(caught.value.details()).startswith("deadline_ms is 0, must be in")
        await ranker.recommend.Recommend(_request(), timeout=5)
        await ranker.recommend.Recommend(_request(deadline_ms=5_000))


async def test_work_for_callers_who_gave_up_ends_at_the_next_stage(
    ranker: RunningRanker,
) -> None:
    faults = ranker.faults
    faults.errors = struck = _Struck()
    faults.gate.clear()
    faults.entered.clear()
    leaving = [
        asyncio.create_task(_give_up(ranker, user)) for user in ("running", "waiting")
    ]
    await asyncio.to_thread(faults.entered.wait)
    await _until(lambda: ranker.ranker.num_in_flight == 2)
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    # The one that waited is gone; a worker is still in the other's first stage.
    await _until(lambda: ranker.ranker.num_in_flight == 1)
    faults.gate.set()
    await _until(lambda: ranker.ranker.num_in_flight == 0)
    assert set(struck.stages) <= {"hydrate", "store"}
    assert ranker.metrics.value(ANSWERS, "full") == 0
    await ranker.recommend.Recommend(_request("next"))
    assert ranker.metrics.value(ANSWERS, "full") == 1


async def _give_up(ranker: RunningRanker, user: str) -> None:
    call = ranker.recommend.Recommend(_request(user))
    try:
        await call
    finally:
        call.cancel()


async def test_clients_that_time_out_leave_nothing_in_flight(
    ranker: RunningRanker,
) -> None:
    ranker.faults.gate.clear()
    calls = [
        ranker.recommend.Recommend(_request(f"u{place}"), timeout=0.1)
        for place in range(20)
    ]
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await _until(lambda: ranker.ranker.num_in_flight <= 1)
    ranker.faults.gate.set()
    await _until(lambda: ranker.ranker.num_in_flight == 0)


async def test_a_flood_is_refused_at_once_and_told_when_to_come_back(
    tmp_path: Path,
) -> None:
    options = replace(OPTIONS, max_queue_size=MAX_WAITING)
    async with running_ranker(tmp_path, options) as ranker:
        ranker.faults.gate.clear()
        ranker.faults.entered.clear()
        first = ranker.recommend.Recommend(_request("first"))
        await asyncio.to_thread(ranker.faults.entered.wait)
        flood = [
            ranker.recommend.Recommend(_request(f"u{number}"))
            for number in range(NUM_FLOOD)
        ]
        # The one worker stands still: what is refused is refused without it.
        refused = NUM_FLOOD - MAX_WAITING
        await _until(lambda: sum(call.done() for call in flood) == refused)
        codes = [await call.code() for call in flood if call.done()]
        pushbacks = [
            dict(await call.trailing_metadata())["grpc-retry-pushback-ms"]
            for call in flood
            if call.done()
        ]
        ranker.faults.gate.set()
        answers = await asyncio.gather(first, *flood, return_exceptions=True)
    assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert all(int(text) >= 1 for text in pushbacks)
    answered = [a for a in answers if isinstance(a, recommend_pb2.RecommendResponse)]
    assert len(answered) == MAX_WAITING + 1
