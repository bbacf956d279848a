"""What goes on in a ranker while a release loads, however long that takes."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stepwell.base.metric_names import CANARY_SERIAL, EXPERIMENTS_RUNNING
from stepwell.base.metric_spec import MetricSpec
from stepwell.base.metrics import Metrics
from stepwell.releases.rollout import Rollout
from stepwell.releases.signing import SigningKey
from stepwell.releases.vetoes import Veto, Vetoes
from stepwell.serving import tiny_ranker_fixture
from stepwell.serving.engine import Engine
from stepwell.serving.tiny_ranker_fixture import (
    Faults,
    RunningRanker,
    build_engine,
    publish,
    running_ranker,
)
from stepwell.stores.key_value_store import KeyValueStore
from stepwell_pb.v1 import admin_pb2, common_pb2, recommend_pb2

HALF_PPM = 500_000
_MANY = 5_000
_EXPERIMENTS = {
    "format_version": 1,
    "layers": [
        {
            "name": "l",
            "salt": "s",
            "experiments": [
                {
                    "name": "e",
                    "first_bucket": 0,
                    "arms": [{"name": "a", "num_buckets": 1}],
                }
            ],
        }
    ],
}


@dataclass
class _Loading:
    """A ranker whose second release is the canary, while the third one loads."""

    running: RunningRanker
    registry: Path
    experiments: Path

    async def ask_until(self, metric: MetricSpec, value: float) -> None:
        request = recommend_pb2.RecommendRequest(user_id="ann", num_items=5)
        for _ in range(_MANY):
            await self.running.recommend.Recommend(request)
            if self.running.metrics.value(metric) == value:
                return
        raise AssertionError(f"{metric.name} did not become {value}")


@pytest.fixture
async def loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[_Loading]:
    key, registry = SigningKey.generate(), tmp_path / "registry"
    experiments = tmp_path / "experiments.json"
    experiments.write_text(json.dumps({"format_version": 1, "layers": []}))
    loads, goes_on = threading.Event(), threading.Event()

    def build(
        store: KeyValueStore, faults: Faults, metrics: Metrics, release_id: str
    ) -> Engine:
        if release_id == "v000003":
            loads.set()
            assert goes_on.wait(60)
        return build_engine(store, faults, metrics, release_id)

    monkeypatch.setattr(tiny_ranker_fixture, "build_engine", build)
    async with running_ranker(tmp_path, key=key, experiments=experiments) as running:
        world = _Loading(running, registry, experiments)
        publish(registry, key, tmp_path / "second", promote=False)
        Rollout(registry, key).canary(2, HALF_PPM)
        await world.ask_until(CANARY_SERIAL, 2)
        publish(registry, key, tmp_path / "third")
        assert await asyncio.to_thread(loads.wait, 30)
        try:
            yield world
        finally:
            goes_on.set()


async def test_a_veto_of_another_server_is_followed(loading: _Loading) -> None:
    veto = Veto(serial=2, reason="errors", evidence="", time_seconds=1)
    Vetoes(loading.registry).write(veto)
    await loading.ask_until(CANARY_SERIAL, 0)


async def test_a_changed_file_of_experiments_is_followed(loading: _Loading) -> None:
    loading.experiments.write_text(json.dumps(_EXPERIMENTS))
    await loading.ask_until(EXPERIMENTS_RUNNING, 1)


async def test_operators_who_wait_for_it_hold_no_thread(loading: _Loading) -> None:
    admin = loading.running.admin()
    asked = admin_pb2.PollReleasesRequest(reason="test")
    waiting = [asyncio.ensure_future(admin.PollReleases(asked)) for _ in range(40)]
    pin = admin_pb2.ForceTierRequest(tier=common_pb2.TIER_POPULAR, reason="test")
    await admin.ForceTier(pin, timeout=30)
    assert not any(one.done() for one in waiting)
    for one in waiting:
        one.cancel()
