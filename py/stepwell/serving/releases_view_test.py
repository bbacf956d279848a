"""Promote, try and roll back under a running ranker, and ask it what it holds."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stepwell.releases.rollout import Rollout
from stepwell.releases.signing import SigningKey
from stepwell.releases.vetoes import Veto, Vetoes
from stepwell.serving.tiny_ranker_fixture import OPTIONS, publish, running_ranker
from stepwell_pb.v1 import admin_pb2, admin_pb2_grpc


@dataclass
class World:
    """A ranker of two releases that looks for others only when told."""

    registry: Path
    rollout: Rollout
    admin: admin_pb2_grpc.AdminServiceStub

    async def poll(self) -> admin_pb2.ReleasesView:
        asked = admin_pb2.PollReleasesRequest(reason="test")
        view: admin_pb2.ReleasesView = await self.admin.PollReleases(asked)
        return view


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    key = SigningKey.generate()
    options = replace(OPTIONS, poll_seconds=3_600.0)
    async with running_ranker(tmp_path, options, key=key) as ranker:
        # Not live yet: a server that starts looks a second time by itself.
        publish(tmp_path / "registry", key, tmp_path / "second", promote=False)
        yield World(
            tmp_path / "registry", Rollout(tmp_path / "registry", key), ranker.admin()
        )


def states(view: admin_pb2.ReleasesView) -> dict[int, str]:
    return {release.serial: release.state for release in view.releases}


async def test_a_poll_answers_when_the_published_release_is_live(world: World) -> None:
    listed = await world.admin.ListReleases(admin_pb2.ListReleasesRequest())
    assert (listed.live_serial, listed.standby_serial) == (1, 0)
    world.rollout.promote(2)
    view = await world.poll()
    assert (view.live_serial, view.standby_serial) == (2, 1)
    assert states(view) == {1: "READY", 2: "READY"}


async def test_a_rollback_is_there_when_the_poll_answers(world: World) -> None:
    world.rollout.promote(2)
    await world.poll()
    world.rollout.rollback()
    view = await world.poll()
    assert (view.live_serial, view.standby_serial) == (1, 2)


async def test_a_canary_comes_and_a_veto_takes_it_down(world: World) -> None:
    world.rollout.promote(2)
    await world.poll()
    world.rollout.rollback()
    page = world.rollout.canary(2, 50_000, is_shadow=True)
    view = await world.poll()
    assert page.canary is not None
    assert (view.live_serial, view.canary) == (
        1,
        admin_pb2.CanaryStatus(
            serial=2,
            share_ppm=50_000,
            is_shadow=True,
            started_seconds=page.canary.started_seconds,
        ),
    )
    Vetoes(world.registry).write(Veto(serial=2, reason="psi", time_seconds=1))
    assert not (await world.poll()).HasField("canary")


async def test_a_refused_release_is_told_with_its_reason(world: World) -> None:
    (world.registry / "v000002" / "readme.txt").write_text("damaged")
    world.rollout.promote(2)
    view = await world.poll()
    assert view.live_serial == 1
    (refused,) = [release for release in view.releases if release.state == "ERROR"]
    assert (refused.serial, "readme.txt" in refused.reason) == (2, True)
