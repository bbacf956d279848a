"""A real registry and a manager over it; what is built of a release is a string."""

from collections.abc import Callable
from pathlib import Path

from stepwell.base.clock import FakeClock
from stepwell.base.errors import InvalidArgumentError
from stepwell.releases.canary_route import CanaryRoute
from stepwell.releases.handle import Release
from stepwell.releases.loader import Loader, trusted_key
from stepwell.releases.manager import Manager, ManagerHooks, ManagerOptions
from stepwell.releases.manifest import Manifest, ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.rollout import Rollout
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
        self.key = SigningKey.generate()
        self.publisher = Publisher(self.registry, self.key, kept=10)
        self.clock = FakeClock()
        self.rollout = Rollout(self.registry, self.key, self.clock)
        self.unloaded: list[str] = []
        self.went_live: list[str] = []
        self.canaries: list[int | None] = []
        self.vetoes: list[tuple[int, str, str]] = []
        self.loads: list[str] = []
        self.unfit: set[int] = set()
        self.out_of_memory = False
        self.while_building: Callable[[], None] = lambda: None
        self.while_trial_begins: Callable[[], None] = lambda: None
        self.while_unloading: Callable[[], None] = lambda: None
        self.built: list[int] = []
        self.now = 0.0

    def publish(self, *, promote: bool = True) -> Path:
        metadata = ReleaseMetadata(
            data_watermark_seconds=0,
            embedding_space_hash="a" * 64,
            feature_schema_hash="b" * 64,
        )
        return self.publisher.publish(self.trained, metadata, promote=promote)

    def manager(self, *, keep_previous: bool = False) -> Manager[str]:
        loader = Loader(trusted_key(self.registry), self._build)
        return Manager(
            DirectorySource(self.registry),
            loader,
            ManagerHooks(
                on_live=self._on_live,
                on_trial=self._on_trial,
                on_trial_end=lambda _: self.canaries.append(None),
                on_load=self.loads.append,
                on_veto=lambda *veto: self.vetoes.append(veto),
                unload=self._unload,
            ),
            ManagerOptions(keep_previous, monotonic=lambda: self.now),
        )

    def _build(self, directory: Path, manifest: Manifest) -> str:
        self.built.append(manifest.serial)
        self.while_building()
        if self.out_of_memory:
            raise MemoryError
        if manifest.serial in self.unfit:
            raise InvalidArgumentError("the model has no layers")
        return f"content of {manifest.release_id}"

    def _on_trial(self, route: CanaryRoute) -> None:
        self.canaries.append(route.serial)
        self.while_trial_begins()

    def _unload(self, content: str) -> None:
        self.while_unloading()
        self.unloaded.append(content)

    def _on_live(self, release: Release[str]) -> None:
        self.went_live.append(release.manifest.release_id)


def states(manager: Manager[str]) -> dict[int, ReleaseState]:
    """Returns the state of each release, by serial."""
    return {status.serial: status.state for status in manager.statuses()}


def content_of(manager: Manager[str]) -> str:
    """Returns what answers a request that names no user."""
    with manager.borrow() as release:
        return release.content
