"""The manager's live release: swaps, refusals, pins, drains."""

import threading
from pathlib import Path

import pytest

from stepwell.base.errors import FailedPreconditionError
from stepwell.releases.manager_world_fixture import World, content_of, states
from stepwell.releases.refusals import FIRST_PAUSE_SECONDS
from stepwell.releases.state import ReleaseState


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_nothing_can_be_borrowed_before_the_first_release(world: World) -> None:
    world.publish()
    manager = world.manager()
    assert manager.live_serial is None
    with pytest.raises(FailedPreconditionError, match="no release is live"):
        manager.borrow()


def test_the_newest_release_becomes_live(world: World) -> None:
    world.publish()
    world.publish()
    manager = world.manager()
    assert manager.poll()
    assert content_of(manager) == "content of v000002"
    assert states(manager) == {2: ReleaseState.READY}
    assert world.went_live == ["v000002"]
    assert not manager.poll()


def test_a_swap_leaves_running_requests_on_the_old_release(world: World) -> None:
    world.publish()
    manager = world.manager()
    manager.poll()
    running = manager.borrow()
    world.publish()
    assert manager.poll()
    assert running.release.content == "content of v000001"
    assert content_of(manager) == "content of v000002"
    assert states(manager) == {1: ReleaseState.QUIESCING, 2: ReleaseState.READY}
    assert world.unloaded == []
    running.close()
    assert world.unloaded == ["content of v000001"]
    assert states(manager) == {1: ReleaseState.DISABLED, 2: ReleaseState.READY}


def test_a_damaged_release_leaves_the_live_one_and_is_not_tried_again(
    world: World,
) -> None:
    world.publish()
    manager = world.manager()
    manager.poll()
    (world.publish() / "model.safetensors").write_bytes(b"weightz")
    assert not manager.poll()
    assert world.loads == ["ready", "refused"]
    assert content_of(manager) == "content of v000001"
    (refused,) = [s for s in manager.statuses() if s.state is ReleaseState.ERROR]
    assert refused.serial == 2 and "SHA-256" in refused.reason
    assert not manager.poll()
    world.publish()
    assert manager.poll()
    assert content_of(manager) == "content of v000003"


def test_a_release_that_cannot_be_built_is_refused_with_its_reason(
    world: World,
) -> None:
    world.unfit = {2}
    world.publish()
    world.publish()
    manager = world.manager()
    assert manager.poll()  # the newest is refused, and the one before taken
    assert manager.live_serial == 1
    assert "no layers" in manager.statuses()[1].reason


def test_a_pin_goes_back_and_letting_go_returns_to_the_newest(world: World) -> None:
    world.publish()
    manager = world.manager()
    manager.poll()
    world.publish()
    manager.poll()
    world.rollout.pin(1)
    assert manager.poll()
    assert content_of(manager) == "content of v000001"
    assert states(manager) == {1: ReleaseState.READY, 2: ReleaseState.DISABLED}
    world.rollout.pin(None)
    assert manager.poll()
    assert manager.live_serial == 2


def test_a_release_that_still_drains_is_not_loaded_a_second_time(world: World) -> None:
    world.publish()
    manager = world.manager()
    manager.poll()
    running = manager.borrow()
    world.publish()
    manager.poll()
    world.rollout.pin(1)
    assert not manager.poll()
    running.close()
    assert manager.poll()
    assert manager.live_serial == 1


def test_close_drains_the_live_release(world: World) -> None:
    world.publish()
    manager = world.manager()
    manager.poll()
    running = manager.borrow()
    manager.close()
    with pytest.raises(FailedPreconditionError):
        manager.borrow()
    assert world.unloaded == []
    running.close()
    assert world.unloaded == ["content of v000001"]


def test_requests_on_many_threads_never_see_an_unloaded_release(world: World) -> None:
    world.publish()
    manager = world.manager()
    manager.poll()
    stop = threading.Event()
    wrong: list[str] = []

    def request() -> None:
        while not stop.is_set():
            with manager.borrow() as release:
                if release.content in world.unloaded:
                    wrong.append(release.content)

    threads = [threading.Thread(target=request) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        world.publish()
        manager.poll()
    stop.set()
    for thread in threads:
        thread.join(timeout=10)
    assert wrong == []
    assert len(world.unloaded) == 6
    assert manager.live_serial == 7


def test_a_load_that_broke_down_is_tried_again_after_a_pause(world: World) -> None:
    world.publish()
    manager = world.manager()
    manager.poll()
    world.publish()
    world.out_of_memory = True
    assert not manager.poll()
    assert "attempt 1" in manager.statuses()[1].reason
    world.out_of_memory = False
    assert not manager.poll()
    world.now += FIRST_PAUSE_SECONDS
    assert manager.poll()
    assert world.built == [1, 2, 2]
    assert world.loads == ["ready", "broken", "ready"]


def test_the_pause_after_a_load_that_broke_down_doubles(world: World) -> None:
    world.publish()
    world.out_of_memory = True
    manager = world.manager()
    for attempt in range(3):
        manager.poll()
        assert f"attempt {attempt + 1}" in manager.statuses()[0].reason
        world.now += FIRST_PAUSE_SECONDS * 2**attempt - 0.5
        manager.poll()
        assert len(world.built) == attempt + 1
        world.now += 0.5


def test_a_refused_release_is_tried_again_once_its_manifest_is_another(
    world: World,
) -> None:
    directory = world.publish()
    manifest = directory / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole + b" ")
    manager = world.manager()
    assert not manager.poll() and not manager.poll()
    assert states(manager) == {1: ReleaseState.ERROR}
    manifest.write_bytes(whole)
    assert manager.poll()


def test_what_is_wanted_is_looked_up_again_after_a_load(world: World) -> None:
    world.publish()
    manager = world.manager(keep_previous=True)
    manager.poll()
    world.publish()

    def roll_back() -> None:
        world.while_building = lambda: None
        world.rollout.rollback()

    world.while_building = roll_back
    assert not manager.poll()
    assert manager.live_serial == 1 and world.went_live == ["v000001"]


def test_a_rollback_does_not_wait_for_a_load(world: World) -> None:
    world.publish()
    manager = world.manager(keep_previous=True)
    manager.poll()
    world.publish()
    manager.poll()
    world.publish(promote=False)
    world.rollout.canary(3, 1)
    flipped: list[int | None] = []

    def roll_back() -> None:
        world.rollout.rollback()
        assert not manager.flip()  # the canary is still to come
        flipped.append(manager.live_serial)

    world.while_building = roll_back
    assert manager.poll()
    assert flipped == [1]
    assert manager.canary is not None and manager.canary.serial == 3


def test_what_unloads_keeps_no_rollback_and_no_look_waiting(world: World) -> None:
    world.publish()
    manager = world.manager()
    manager.poll()
    world.publish()
    seen: list[tuple[bool, int | None, int | None]] = []

    def look() -> None:
        flipped = manager.flip()
        seen.append((flipped, manager.live_serial, manager.standby_serial))

    def look_from_elsewhere() -> None:
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        thread.join(timeout=10)

    world.while_unloading = look_from_elsewhere
    assert manager.poll()
    assert seen == [(True, 2, None)]
