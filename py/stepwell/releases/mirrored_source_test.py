"""A far registry on fsspec's own file systems: one in memory, one in a folder."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest
import structlog.testing

from stepwell.base.errors import DataLossError, NotFoundError
from stepwell.releases.manifest import ReleaseMetadata, release_id_of
from stepwell.releases.mirrored_source import MirroredSource
from stepwell.releases.publisher import Publisher
from stepwell.releases.refusals import FIRST_PAUSE_SECONDS
from stepwell.releases.registry_lock import registry_lock
from stepwell.releases.registry_mirror import RegistryMirror
from stepwell.releases.rollout import Rollout
from stepwell.releases.signing import SigningKey
from stepwell.releases.verification import verify_release
from stepwell.releases.vetoes import Veto, Vetoes

SIGNER = SigningKey.generate()
KEY = SIGNER.verifying_key()
METADATA = ReleaseMetadata(
    data_watermark_seconds=0,
    embedding_space_hash="a" * 64,
    feature_schema_hash="b" * 64,
)


@dataclass
class Far:
    """A registry made here, put where `url` is, and read from there."""

    url: str
    files: Any
    root: str
    here: Path
    trained: Path

    def publish(self, base: int | None = None, promote: bool = True) -> None:
        Publisher(self.here, SIGNER).publish(
            self.trained, METADATA, base=base, promote=promote
        )
        self.put()

    def put(self) -> None:
        """Uploads everything, the aliases last."""
        if self.files.exists(self.root):
            self.files.rm(self.root, recursive=True)
        for path in sorted(
            self.here.rglob("*"), key=lambda p: p.name == "aliases.json"
        ):
            if path.is_file():
                target = f"{self.root}/{path.relative_to(self.here)}"
                self.files.makedirs(target.rpartition("/")[0], exist_ok=True)
                self.files.pipe_file(target, path.read_bytes())

    def put_release(self, serial: int) -> None:
        """Uploads one release again, as it is here."""
        directory = self.here / release_id_of(serial)
        for path in directory.rglob("*"):
            if path.is_file():
                self.write(str(path.relative_to(self.here)), path.read_bytes())

    def write(self, name: str, content: bytes) -> None:
        self.files.pipe_file(f"{self.root}/{name}", content)

    def mirror(self, folder: Path) -> RegistryMirror:
        return RegistryMirror(self.url, folder, KEY)


@pytest.fixture(params=["memory", "file"])
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Far]:
    root = "/far-registry" if request.param == "memory" else str(tmp_path / "far")
    files = fsspec.filesystem(request.param)
    trained = tmp_path / "trained"
    (trained / "tables").mkdir(parents=True)
    (trained / "index.hnsw").write_bytes(b"graph" * 10_000)
    (trained / "tables" / "items").write_bytes(b"milk")
    made = Far(f"{request.param}://{root}", files, root, tmp_path / "here", trained)
    made.publish()
    yield made
    if files.exists(root):
        files.rm(root, recursive=True)


def at_once(work: Callable[[], None]) -> None:
    work()


def source_of(far: Far, folder: Path) -> MirroredSource:
    return MirroredSource(far.mirror(folder), at_once)


def serials(source: MirroredSource) -> list[int]:
    return [version.serial for version in source.state().versions]


def test_what_is_wanted_is_fetched_whole(far: Far, tmp_path: Path) -> None:
    far.publish()
    state = source_of(far, tmp_path / "mirror").state()
    assert [version.serial for version in state.versions] == [1, 2]
    assert state.aliases is not None
    assert (state.aliases.live, state.aliases.previous) == (2, 1)
    for version in state.versions:
        verify_release(version.directory, KEY)


def test_what_has_no_part_stays_away_until_it_has_one(far: Far, tmp_path: Path) -> None:
    far.publish(promote=False)
    source = source_of(far, tmp_path / "mirror")
    assert serials(source) == [1]
    Rollout(far.here, SIGNER).canary(2, 50_000)
    far.put()
    state = source.state()
    assert state.aliases is not None
    assert state.aliases.canary is not None
    assert [version.serial for version in state.versions] == [1, 2]


def test_a_delta_comes_with_what_it_stands_on(far: Far, tmp_path: Path) -> None:
    for base in (1, 2, 3):
        far.publish(base=base)
    # Live is 4, previous is 3; 1 and 2 are their bases only.
    assert serials(source_of(far, tmp_path / "mirror")) == [1, 2, 3, 4]


def test_a_look_does_not_wait_for_a_release_that_is_being_fetched(
    far: Far, tmp_path: Path
) -> None:
    waiting: list[Callable[[], None]] = []
    source = MirroredSource(far.mirror(tmp_path / "mirror"), waiting.append)
    assert serials(source) == []
    assert serials(source) == []
    assert len(waiting) == 1
    waiting.pop()()
    assert serials(source) == [1]


def test_a_registry_that_is_gone_leaves_what_is_here_and_says_so_once(
    far: Far, tmp_path: Path
) -> None:
    source = source_of(far, tmp_path / "mirror")
    before = source.state()
    far.write("aliases.json", b"{}")
    with structlog.testing.capture_logs() as lines:
        assert source.state() == before
        assert source.state() == before
    assert [line["event"] for line in lines] == ["the far registry cannot be used"]
    far.files.rm(far.root, recursive=True)
    assert source.state() == before
    # A process that starts now serves on too.
    assert source_of(far, tmp_path / "mirror").state() == before


def test_an_old_page_put_back_changes_nothing_also_for_a_process_that_starts(
    far: Far, tmp_path: Path
) -> None:
    old = (far.here / "aliases.json").read_bytes()
    far.publish()
    folder = tmp_path / "mirror"
    before = source_of(far, folder).state()
    far.write("aliases.json", old)
    with structlog.testing.capture_logs() as lines:
        assert source_of(far, folder).state() == before
    assert "it had" in lines[0]["reason"]
    assert [version.serial for version in before.versions] == [1, 2]
    # A page that is no good here is not held against the far one.
    (folder / "aliases.json").write_bytes(b"{}")
    state = source_of(far, folder).state()
    assert state.aliases is not None and state.aliases.live == 1


def test_a_damaged_release_keeps_no_other_one_away(far: Far, tmp_path: Path) -> None:
    far.publish(promote=False)
    Rollout(far.here, SIGNER).canary(2, 50_000)
    far.put()
    far.write("v000002/manifest.json", b"{}")
    assert serials(source_of(far, tmp_path / "mirror")) == [1]
    far.write("v000001/index.hnsw", b"damaged")
    far.put_release(2)
    assert serials(source_of(far, tmp_path / "other")) == [2]


def test_a_delta_waits_for_the_base_that_it_stands_on(far: Far, tmp_path: Path) -> None:
    far.publish(base=1)
    far.write("v000001/index.hnsw", b"damaged")
    now = [0.0]
    source = MirroredSource(
        far.mirror(tmp_path / "mirror"), at_once, monotonic=lambda: now[0]
    )
    assert serials(source) == []
    far.put_release(1)
    now[0] = FIRST_PAUSE_SECONDS
    assert serials(source) == [1, 2]


def test_a_damaged_release_is_fetched_again_after_a_pause_that_doubles(
    far: Far, tmp_path: Path
) -> None:
    far.write("v000001/index.hnsw", b"damaged")
    now = [0.0]
    source = MirroredSource(
        far.mirror(tmp_path / "mirror"), at_once, monotonic=lambda: now[0]
    )
    with structlog.testing.capture_logs() as lines:
        for second in range(20):
            now[0] = float(second)
            assert serials(source) == []
    assert [line["event"] for line in lines] == ["release not fetched"] * 3
    assert "tried again in 20 s" in lines[-1]["reason"]
    # Published again, it is another one.
    shutil.rmtree(far.here / "v000001")
    (far.here / "aliases.json").unlink()
    (far.trained / "tables" / "items").write_bytes(b"bread")
    far.publish()
    assert serials(source) == [1]


def test_what_a_killed_fetch_left_goes(far: Far, tmp_path: Path) -> None:
    left = tmp_path / "mirror" / "v000009.tmp" / "tables"
    left.mkdir(parents=True)
    (tmp_path / "mirror" / "aliases.json.0123.tmp").write_bytes(b"{")
    source_of(far, tmp_path / "mirror").state()
    assert not list((tmp_path / "mirror").glob("*.tmp"))


def test_mirrors_that_start_together_take_the_key_of_the_first(
    far: Far, tmp_path: Path
) -> None:
    folder = tmp_path / "mirror"
    folder.mkdir()
    far.write("trusted_key.pem", SigningKey.generate().verifying_key().pem())
    with ThreadPoolExecutor(1) as pool:
        with registry_lock(folder, ".pages.lock"):
            second = pool.submit(RegistryMirror, far.url, folder)
            assert wait([second], timeout=0.2).not_done
            (folder / "trusted_key.pem").write_bytes(KEY.pem())
        assert second.result().key.pem() == KEY.pem()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("index.hnsw", b"graph" * 9_999),
        ("index.hnsw", b"grapH" * 10_000),
        ("tables/items", b"m1lk"),
        ("manifest.json", b"{}"),
    ],
)
def test_a_damaged_file_is_not_taken(
    far: Far, tmp_path: Path, name: str, content: bytes
) -> None:
    far.write(f"v000001/{name}", content)
    with pytest.raises(DataLossError):
        far.mirror(tmp_path / "mirror").fetch(1)
    assert not list((tmp_path / "mirror").glob("v*"))


def test_a_stranger_s_release_is_refused_before_a_file_is_read(
    far: Far, tmp_path: Path
) -> None:
    stranger = SigningKey.generate().verifying_key()
    mirror = RegistryMirror(far.url, tmp_path / "mirror", stranger)
    with pytest.raises(DataLossError, match="signature"):
        mirror.fetch(1)
    with pytest.raises(DataLossError, match="signature"):
        mirror.refresh()


def test_a_release_that_is_being_put_there_is_not_seen_in_part(
    far: Far, tmp_path: Path
) -> None:
    far.files.rm(f"{far.root}/v000001/manifest.json")
    assert serials(source_of(far, tmp_path / "mirror")) == []
    with pytest.raises(NotFoundError, match="manifest"):
        far.mirror(tmp_path / "mirror").fetch(1)


def test_vetoes_come_over_and_an_own_one_ends_with_its_trial(
    far: Far, tmp_path: Path
) -> None:
    far.publish(promote=False)
    Rollout(far.here, SIGNER).canary(2, 50_000)
    Vetoes(far.here).write(Veto(serial=2, reason="psi", time_seconds=1 << 40))
    far.put()
    source = source_of(far, tmp_path / "mirror")
    assert dict(source.state().vetoed) == {2: "psi"}
    folder = tmp_path / "other"
    folder.mkdir()
    Vetoes(folder).write(Veto(serial=2, reason="p99", time_seconds=1))
    Vetoes(far.here).remove(2)
    far.put()
    assert dict(source_of(far, folder).state().vetoed) == {}


def test_old_releases_leave_the_mirror(far: Far, tmp_path: Path) -> None:
    source = source_of(far, tmp_path / "mirror")
    for _ in range(6):
        far.publish()
        source.state()
    assert serials(source) == [4, 5, 6, 7]


def test_the_registrys_own_key_is_taken_where_none_is_given(
    far: Far, tmp_path: Path
) -> None:
    mirror = RegistryMirror(far.url, tmp_path / "mirror")
    assert mirror.key.pem() == KEY.pem()
    # And kept: who takes the registry over later cannot bring a key of their own.
    far.write("trusted_key.pem", SigningKey.generate().verifying_key().pem())
    assert RegistryMirror(far.url, tmp_path / "mirror").key.pem() == KEY.pem()


def test_a_file_system_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nosuch"):
        RegistryMirror("nosuch://bucket/registry", tmp_path / "mirror", KEY)
