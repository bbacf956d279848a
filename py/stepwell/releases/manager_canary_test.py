"""The manager's canary and standby, over a real registry and its aliases."""

from pathlib import Path

import pytest

from stepwell.releases.manager import Manager
from stepwell.releases.manager_world_fixture import World, content_of, states
from stepwell.releases.state import ReleaseState

ALL_PPM = 1_000_000
HALF_PPM = ALL_PPM // 2
"""Of the users; somebody is among them in every trial here."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """v000001 live, v000002 published and not live."""
    world = World(tmp_path)
    world.publish()
    world.publish(promote=False)
    return world


def with_canary(world: World, *, share_ppm: int = HALF_PPM) -> Manager[str]:
    manager = world.manager(keep_previous=True)
    manager.poll()
    world.rollout.canary(2, share_ppm)
    assert manager.poll()
    return manager


def asked(manager: Manager[str], user_id: str | None) -> str:
    with manager.borrow(user_id) as release:
        return release.content


def test_the_canary_answers_its_users_and_nobody_else(world: World) -> None:
    manager = with_canary(world, share_ppm=ALL_PPM // 4)
    route = manager.canary
    assert route is not None and route.serial == 2
    assert world.canaries == [2] and manager.live_serial == 1
    for number in range(200):
        user = f"user-{number}"
        serial = 2 if route.takes(user) else 1
        assert asked(manager, user) == f"content of v00000{serial}"
    assert asked(manager, None) == "content of v000001"
    with manager.borrow_live() as release:
        assert release.manifest.serial == 1


def test_a_shadow_answers_nobody_and_can_be_borrowed_by_name(world: World) -> None:
    manager = world.manager()
    manager.poll()
    world.rollout.canary(2, ALL_PPM, is_shadow=True)
    manager.poll()
    assert asked(manager, "somebody") == "content of v000001"
    handle = manager.borrow_serial(2)
    assert handle is not None and handle.release.content == "content of v000002"
    handle.close()
    assert manager.borrow_serial(3) is None


def test_another_share_moves_the_route_without_a_load(world: World) -> None:
    manager = with_canary(world, share_ppm=1)
    world.rollout.canary(2, HALF_PPM)
    assert manager.poll()
    assert asked(manager, "somebody") == "content of v000002"
    assert world.built == [1, 2]


def test_promoting_the_canary_loads_nothing_and_keeps_the_old_one(world: World) -> None:
    manager = with_canary(world)
    world.rollout.promote()
    assert manager.poll()
    assert (manager.live_serial, manager.canary) == (2, None)
    assert manager.standby_serial == 1
    assert world.built == [1, 2] and world.unloaded == []
    assert world.canaries == [2, None]


def test_a_rollback_is_a_pointer_for_the_standby_is_loaded(world: World) -> None:
    manager = with_canary(world)
    world.rollout.promote()
    manager.poll()
    world.rollout.rollback()
    assert manager.poll()
    assert content_of(manager) == "content of v000001"
    assert manager.standby_serial == 2
    assert world.built == [1, 2] and world.unloaded == []


def test_a_third_release_pushes_the_oldest_out(world: World) -> None:
    manager = with_canary(world)
    world.rollout.promote()
    manager.poll()
    world.publish()
    assert manager.poll()
    assert (manager.live_serial, manager.standby_serial) == (3, 2)
    assert world.unloaded == ["content of v000001"]


def test_a_restart_brings_live_canary_and_standby_back(world: World) -> None:
    world.rollout.promote(2)
    world.publish(promote=False)
    world.rollout.canary(3, 1)
    manager = world.manager(keep_previous=True)
    manager.poll()
    assert (manager.live_serial, manager.standby_serial) == (2, 1)
    assert manager.canary is not None and manager.canary.serial == 3


def test_a_start_need_not_wait_for_the_canary_and_the_standby(world: World) -> None:
    world.rollout.promote(2)
    manager = world.manager(keep_previous=True)
    assert manager.poll(until_live=True)
    assert (manager.live_serial, manager.standby_serial) == (2, None)
    assert not manager.poll()
    assert manager.standby_serial == 1


def test_a_stopped_canary_drains_while_its_requests_end(world: World) -> None:
    manager = with_canary(world)
    running = manager.borrow("somebody")
    world.rollout.stop_canary()
    assert manager.poll()
    assert asked(manager, "somebody") == "content of v000001"
    assert running.release.content == "content of v000002"
    assert world.unloaded == []
    running.close()
    assert world.unloaded == ["content of v000002"]


def test_a_veto_takes_the_canary_down_at_once_and_for_good(world: World) -> None:
    manager = with_canary(world)
    running = manager.borrow("somebody")
    assert manager.veto(2, "slow", "p99 80 ms against 20")
    assert asked(manager, "somebody") == "content of v000001"
    assert world.vetoes == [(2, "slow", "p99 80 ms against 20")]
    assert world.canaries == [2, None] and manager.vetoed == {2: "slow"}
    running.close()
    (status,) = [status for status in manager.statuses() if status.serial == 2]
    assert (status.state, status.reason) == (ReleaseState.DISABLED, "slow")
    # The page still names it, and no file says the veto: it stays down here.
    assert not manager.poll()
    assert manager.canary is None and world.built == [1, 2]


def test_a_trial_started_anew_outlives_an_earlier_veto(world: World) -> None:
    manager = with_canary(world)
    manager.veto(2, "slow")
    world.rollout.stop_canary()
    manager.poll()
    world.clock.advance_us(1_000_000)
    world.rollout.canary(2, HALF_PPM, again=True)
    assert manager.poll()
    assert asked(manager, "somebody") == "content of v000002"


def test_a_veto_of_another_release_changes_nothing(world: World) -> None:
    manager = with_canary(world)
    assert not manager.veto(1, "slow")
    assert not manager.veto(3, "slow")
    assert manager.canary is not None and world.vetoes == []


def test_a_veto_while_another_release_loads_does_not_wait(world: World) -> None:
    manager = with_canary(world)
    world.publish()
    taken: list[bool] = []
    world.while_building = lambda: taken.append(manager.veto(2, "non-finite"))
    assert manager.poll()
    assert taken == [True]
    assert (manager.live_serial, manager.canary) == (3, None)


def test_a_veto_while_the_trial_grows_ends_it(world: World) -> None:
    manager = with_canary(world, share_ppm=ALL_PPM // 20)
    taken: list[bool] = []
    world.while_trial_begins = lambda: taken.append(manager.veto(2, "slow"))
    world.rollout.canary(2, ALL_PPM // 5)
    assert manager.poll()
    assert taken == [True]
    assert manager.canary is None and world.canaries == [2, 2, None, None]
    assert asked(manager, "somebody") == "content of v000001"


def test_a_canary_that_cannot_be_built_leaves_the_live_one(world: World) -> None:
    world.unfit = {2}
    manager = world.manager()
    manager.poll()
    world.rollout.canary(2, HALF_PPM)
    assert not manager.poll()
    assert manager.canary is None and content_of(manager) == "content of v000001"
    assert states(manager)[2] is ReleaseState.ERROR
