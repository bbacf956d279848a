import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import (
    CANARY_RETRIES,
    CANARY_ROLLBACKS,
    CANARY_SERIAL,
    SHADOW_REQUESTS,
)
from stepwell.experiments.guardrails import FALSE_ALARMS
from stepwell.pipeline.candidate import ScoreArray
from stepwell.releases.rollout import Rollout
from stepwell.releases.signing import SigningKey
from stepwell.serving.tiny_ranker_fixture import (
    OPTIONS,
    Faults,
    RunningRanker,
    publish,
    running_ranker,
)
from stepwell_pb.v1 import common_pb2, feedback_pb2, recommend_pb2

HALF_PPM = 500_000
NUM_USERS = 200
_MANY = 3_000


class _Crashing(Faults):
    def strike(self, stage: str) -> None:
        super().strike(stage)
        if stage == "ranking_full":
            raise RuntimeError("the canary has a bug")


class _Slow(Faults):
    def strike(self, stage: str) -> None:
        super().strike(stage)
        if stage == "ranking_full":
            self.clock.skip_us(200_000)


class _FindingNothing(Faults):
    def strike(self, stage: str) -> None:
        super().strike(stage)
        if stage == "retrieval":
            raise UnavailableError("the canary's index is empty")


class _NotFinite(Faults):
    def scored(self, total: ScoreArray) -> ScoreArray:
        return np.full_like(total, -np.inf)


@dataclass
class _Trial:
    """A ranker whose second release is on trial with half of the users."""

    running: RunningRanker
    folder: Path

    def rollbacks(self, reason: str) -> float:
        names = [name for name in FALSE_ALARMS if name.startswith(reason)]
        value = self.running.metrics.value
        return sum(value(CANARY_ROLLBACKS, name) for name in names)

    async def ask(self, number: int) -> recommend_pb2.RecommendResponse:
        request = recommend_pb2.RecommendRequest(
            user_id=f"user-{number % NUM_USERS}", num_items=5, request_id=f"r{number}"
        )
        answer: recommend_pb2.RecommendResponse
        answer = await self.running.recommend.Recommend(request)
        return answer

    async def ask_until(self, reason: str) -> set[str]:
        """Asks until the canary is taken down; returns the releases that answered."""
        seen = set()
        for number in range(_MANY):
            seen.add((await self.ask(number)).served_by.release_id)
            if self.rollbacks(reason):
                return seen
        raise AssertionError(f"the canary was not taken down for {reason}")


@asynccontextmanager
async def _tried(
    folder: Path,
    canary: type[Faults],
    is_shadow: bool = False,
    look_seconds: float = 0.02,
) -> AsyncIterator[_Trial]:
    key, registry = SigningKey.generate(), folder / "registry"
    options = replace(
        OPTIONS,
        canary_look_seconds=look_seconds,
        rollback_log=folder / "audit.jsonl",
        shadow_log=folder / "shadow.jsonl",
    )
    async with running_ranker(folder, options, key=key, canary=canary) as running:
        publish(registry, key, folder / "second", promote=False)
        Rollout(registry, key).canary(2, HALF_PPM, is_shadow=is_shadow)
        trial = _Trial(running, folder)
        for number in range(_MANY):
            await trial.ask(number)
            if running.metrics.value(CANARY_SERIAL) == 2:
                break
        yield trial


@pytest.mark.parametrize(
    ("canary", "reason"),
    [
        (_Crashing, "errors"),
        (_Slow, "slow"),
        (_NotFinite, "non_finite"),
        (_FindingNothing, "degraded"),
    ],
)
async def test_a_bad_canary_is_taken_down_and_no_caller_sees_an_error(
    tmp_path: Path, canary: type[Faults], reason: str
) -> None:
    async with _tried(tmp_path, canary) as trial:
        seen = await trial.ask_until(reason)
        assert seen == ({"v000001"} if canary is _Crashing else {"v000001", "v000002"})
        retried = trial.running.metrics.value(CANARY_RETRIES)
        assert (retried > 0) == (canary is _Crashing)
        # From here on live answers everybody, without another try.
        after = {(await trial.ask(n)).served_by.release_id for n in range(50)}
        assert after == {"v000001"}
        assert trial.running.metrics.value(CANARY_RETRIES) == retried
        assert trial.running.metrics.value(CANARY_SERIAL) == 0
    (line,) = (tmp_path / "audit.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["action"], told["who"]) == ("CanaryRollback", "guardrails")
    assert told["before"] == {"canary": 2, "share_ppm": HALF_PPM}
    assert told["reason"].startswith(reason)


async def test_a_canary_without_fault_goes_on_answering_its_users(
    tmp_path: Path,
) -> None:
    # Nobody looks: on a busy machine times of a millisecond differ by anything.
    async with _tried(tmp_path, Faults, look_seconds=3_600.0) as trial:
        by_user: dict[int, set[str]] = {}
        for number in range(500):
            release = (await trial.ask(number)).served_by.release_id
            by_user.setdefault(number % NUM_USERS, set()).add(release)
        assert {len(seen) for seen in by_user.values()} == {1}
        assert {"v000001"} in by_user.values()
        assert {"v000002"} in by_user.values()
        assert trial.running.metrics.value(CANARY_SERIAL) == 2


async def test_a_shadow_ranks_what_live_answered_and_is_not_shown(
    tmp_path: Path,
) -> None:
    async with _tried(tmp_path, Faults, is_shadow=True) as trial:
        compared = 0.0
        for number in range(_MANY):
            answer = await trial.ask(number)
            assert answer.served_by.release_id == "v000001"
            compared = trial.running.metrics.value(SHADOW_REQUESTS, "compared")
            if compared >= 3:
                break
        assert compared >= 3
    first = json.loads((tmp_path / "shadow.jsonl").read_text().splitlines()[0])
    assert first["overlap"] == 1.0
    assert first["live"]["release_id"] == "v000001"
    assert first["shadow"]["release_id"] == "v000002"
    assert first["live"]["item_ids"] == first["shadow"]["item_ids"]


async def test_a_shadow_that_fails_hurts_nobody(tmp_path: Path) -> None:
    async with _tried(tmp_path, _Crashing, is_shadow=True) as trial:
        for number in range(_MANY):
            answer = await trial.ask(number)
            assert answer.served_by.release_id == "v000001"
            if trial.running.metrics.value(SHADOW_REQUESTS, "failed"):
                return
        raise AssertionError("the shadow was never asked")


async def test_clicks_on_the_canarys_answers_are_told_to_the_guardrails(
    tmp_path: Path,
) -> None:
    async with _tried(tmp_path, Faults, look_seconds=0.2) as trial:
        for number in range(20):
            await trial.ask(number)
        event = feedback_pb2.Event(
            event_id="e",
            user_id="user-1",
            item_id="item-1",
            event_type=common_pb2.EVENT_TYPE_CLICK,
            request_id="r1",
        )
        await trial.running.feedback.LogEvents(
            feedback_pb2.LogEventsRequest(events=[event])
        )
        for number in range(20, _MANY):
            await trial.ask(number)
            arms = trial.running.ranker.canary_outcomes()
            if sum(arm.responses.sum() for arm in arms):
                return
        raise AssertionError("the click was not counted")
