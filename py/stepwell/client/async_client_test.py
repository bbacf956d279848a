"""The asyncio client: what differs from the other is that it waits without blocking."""

import asyncio

import grpc
import pytest

from stepwell.base import errors
from stepwell.client.async_client import AsyncRecommendClient
from stepwell.client.attempts import ClientOptions
from stepwell.client.conftest import Refusal, Script
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.types import Event, EventType

DOWN = Refusal(grpc.StatusCode.UNAVAILABLE)


def _client(script: Script) -> AsyncRecommendClient:
    retries = RetryOptions(backoff_us=100)
    return AsyncRecommendClient(script.address, ClientOptions(5_000, retries))


async def test_answers_many_calls_at_once(script: Script) -> None:
    async with _client(script) as client:
        answers = await asyncio.gather(
            *(client.recommend(f"user-{n}", 3) for n in range(20))
        )
    assert len(answers) == 20
    assert {request.user_id for request in script.requests} == {
        f"user-{n}" for n in range(20)
    }


async def test_ranks_and_logs(script: Script) -> None:
    script.ranked.unknown_item_ids.append("gin")
    async with _client(script) as client:
        assert (await client.rank("u", ["gin"])).unknown_item_ids == ("gin",)
        event = Event("e", "u", "milk", EventType.CLICK)
        assert (await client.log_events([event])).num_stored == 1


async def test_retries_and_gives_up_like_the_other(script: Script) -> None:
    script.refusals = [DOWN]
    async with _client(script) as client:
        assert (await client.recommend("u")).num_attempts == 2
        script.always = DOWN
        with pytest.raises(errors.UnavailableError):
            await client.recommend("u")
    assert len(script.requests) == 2 + 3


async def test_a_cancelled_call_is_not_retried(script: Script) -> None:
    script.always = Refusal(
        grpc.StatusCode.UNAVAILABLE, metadata=(("grpc-retry-pushback-ms", "60000"),)
    )
    options = ClientOptions(deadline_ms=120_000)
    async with AsyncRecommendClient(script.address, options) as client:
        call = asyncio.create_task(client.recommend("u"))
        await asyncio.to_thread(script.arrived.wait)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert len(script.requests) == 1
