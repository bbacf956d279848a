"""The manager over a real registry; only what is built of a release is a string."""

import threading
from pathlib import Path

import pytest

from stepwell.base.errors import FailedPreconditionError, InvalidArgumentError
from stepwell.releases.handle import Release
from stepwell.releases.loader import Loader, trusted_key
from stepwell.releases.manager import Manager
from stepwell.releases.manifest import Manifest, ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import DirectorySource
from stepwell.releases.state import ReleaseState


class World:
    """A registry, and a manager that builds "content of v000001" from a release."""

    def __init__(self, root: Path) -> None:
        self.registry = root / "registry"
        self.trained = root / "trained"
        self.trained.mkdir()
        (self.trained / "model.safetensors").write_bytes(b"weights")
        self.publisher = Publisher(self.registry, SigningKey.generate(), kept=10)
        self.unloaded: list[str] = []
        self.went_live: list[str] = []
        self.unfit: set[int] = set()

    def publish(self) -> Path:
        metadata = ReleaseMetadata(
            data_watermark_seconds=0,
            embedding_space_hash="a" * 64,
            feature_schema_hash="b" * 64,
        )
        return self.publisher.publish(self.trained, metadata)

    def manager(self) -> Manager[str]:
        loader = Loader(trusted_key(self.registry), self._build)
        return Manager(
            DirectorySource(self.registry),
            loader,
            unload=self.unloaded.append,
            on_live=self._on_live,
        )

    def _build(self, directory: Path, manifest: Manifest) -> str:
        if manifest.serial in self.unfit:
            raise InvalidArgumentError("the model has no layers")
        return f"content of {manifest.release_id}"

    def _on_live(self, release: Release[str]) -> None:
        self.went_live.append(release.manifest.release_id)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def states(manager: Manager[str]) -> dict[int, ReleaseState]:
    return {status.serial: status.state for status in manager.statuses()}


def content_of(manager: Manager[str]) -> str:
    with manager.borrow() as release:
        return release.content


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
    assert not manager.poll()  # the newest is refused
    assert manager.poll()  # and the next poll takes the one before
    assert manager.live_serial == 1
    assert "no layers" in manager.statuses()[1].reason


def test_a_pin_goes_back_and_letting_go_returns_to_the_newest(world: World) -> None:
    world.publish()
    manager = world.manager()
    manager.poll()
    world.publish()
    manager.poll()
    manager.pin(1)
    assert manager.poll()
    assert content_of(manager) == "content of v000001"
    assert states(manager) == {1: ReleaseState.READY, 2: ReleaseState.DISABLED}
    manager.pin(None)
    assert manager.poll()
    assert manager.live_serial == 2


def test_a_release_that_still_drains_is_not_loaded_a_second_time(world: World) -> None:
    world.publish()
    manager = world.manager()
    manager.poll()
    running = manager.borrow()
    world.publish()
    manager.poll()
    manager.pin(1)
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
