"""No release -> a release: refused with the reason, then served without a restart."""

import asyncio
from pathlib import Path

import grpc
import pytest

from stepwell.base.metric_names import DEGRADATION_REASONS, REFUSALS, SERVING_READY
from stepwell.releases.signing import SigningKey
from stepwell.serving.ranker import Ranker
from stepwell.serving.ready import Ready
from stepwell.serving.tiny_ranker_fixture import (
    OPTIONS,
    Faults,
    SkippingClock,
    publish,
    ranker_parts,
)
from stepwell_pb.v1 import common_pb2, recommend_pb2, recommend_pb2_grpc


async def test_refuses_until_a_release_is_published_then_serves_it(
    tmp_path: Path,
) -> None:
    key = SigningKey.generate()
    parts = ranker_parts(tmp_path, key, Faults(SkippingClock()))
    stop: asyncio.Event = asyncio.Event()
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    ranker = Ranker(parts, OPTIONS)
    running = asyncio.create_task(ranker.run(stop, ready.set_result))
    request = recommend_pb2.RecommendRequest(user_id="u", num_items=5)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ranker.port}") as channel:
        stub = recommend_pb2_grpc.RecommendServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Recommend(request, wait_for_ready=True)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.details() == "no release is live"
        assert parts.metrics.value(DEGRADATION_REASONS, "no_release") == 1
        assert parts.metrics.value(REFUSALS, "no_release") == 1
        assert parts.metrics.value(SERVING_READY) == 0
        await asyncio.to_thread(publish, tmp_path / "registry", key, tmp_path / "new")
        assert (await ready).release_id == "v000001"
        answer = await stub.Recommend(request)
        assert answer.served_by.tier == common_pb2.TIER_FULL
        assert answer.served_by.release_id == "v000001"
        assert parts.metrics.value(SERVING_READY) == 1
    stop.set()
    await running
