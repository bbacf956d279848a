"""Deltas: what is published as one is the same release, or it is refused."""

import os
import shutil
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
)
from stepwell.releases import delta
from stepwell.releases.delta import MAX_CHAIN, DeltaCache, chain_of, default_cache
from stepwell.releases.delta_publishing import default_base
from stepwell.releases.manifest import (
    Manifest,
    ReleaseFile,
    ReleaseMetadata,
    canonical_json,
    parse_manifest,
)
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.releases.verification import check_files, verify_release

KEY = SigningKey.generate()
METADATA = ReleaseMetadata(
    data_watermark_seconds=0,
    embedding_space_hash="a" * 64,
    feature_schema_hash="b" * 64,
)


@dataclass(frozen=True, slots=True)
class Site:
    """A trained folder, a registry with it as v000001, and a cache."""

    trained: Path
    registry: Path
    cache: Path

    def publish(self, base: int | None = None) -> Path:
        publisher = Publisher(self.registry, KEY, kept=20)
        return publisher.publish(self.trained, METADATA, base=base)

    def change(self, start: int, content: bytes) -> None:
        path = self.trained / "index.hnsw"
        whole = bytearray(path.read_bytes())
        whole[start : start + len(content)] = content
        path.write_bytes(whole)

    def materialise(self, directory: Path) -> Path:
        manifest = verify_release(directory, KEY.verifying_key())
        return DeltaCache(self.cache).complete(directory, manifest)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    trained = tmp_path / "trained"
    (trained / "tables").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for name in ("index.hnsw", "user_tower.safetensors", "tables/items.safetensors"):
        (trained / name).write_bytes(rng.bytes(60_000))
    site = Site(trained, tmp_path / "registry", tmp_path / "cache")
    site.publish()
    return site


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def left_in(cache: Path) -> list[str]:
    """What lies in a cache beside its lock and its records."""
    names = [entry.name for entry in cache.iterdir()]
    return sorted(name for name in names if not name.startswith("."))


def signed_again(directory: Path, **changes: object) -> None:
    path = directory / "manifest.json"
    manifest = parse_manifest(path.read_bytes())
    fields = {**manifest.model_dump(mode="json"), **changes}
    unsigned = {k: v for k, v in fields.items() if k != "signature" and v is not None}
    signature = KEY.sign(canonical_json(unsigned)).hex()
    path.write_bytes(canonical_json({**unsigned, "signature": signature}))


def manifest_of(directory: Path) -> Manifest:
    return parse_manifest((directory / "manifest.json").read_bytes())


def test_a_delta_stores_what_differs_and_makes_the_whole(site: Site) -> None:
    site.change(100, b"new row")
    (site.trained / "names.safetensors").write_bytes(b"never seen before")
    (site.trained / "user_tower.safetensors").unlink()
    directory = site.publish(base=1)
    assert sorted(files_in(directory)) == ["index.hnsw.delta", "names.safetensors"]
    manifest = manifest_of(directory)
    assert manifest.stored_bytes < 1_000 < 120_000 < manifest.total_bytes
    complete = site.materialise(directory)
    assert complete.name == directory.name
    assert files_in(complete) == files_in(site.trained)
    assert verify_release(complete, KEY.verifying_key()) == manifest


def test_unchanged_files_are_links_to_those_of_the_base(site: Site) -> None:
    site.change(100, b"new row")
    complete = site.materialise(site.publish(base=1))
    name = "user_tower.safetensors"
    assert (complete / name).samefile(site.registry / "v000001" / name)


def test_a_full_release_stays_where_it_is(site: Site) -> None:
    full = site.registry / "v000001"
    assert site.materialise(full) == full
    assert manifest_of(full).base is None
    assert b'"base"' not in (full / "manifest.json").read_bytes()
    assert not site.cache.exists()


def test_a_delta_on_a_delta_is_made_from_the_full_one_up(site: Site) -> None:
    for serial in range(2, 5):
        site.change(10_000 * serial, b"again")
        directory = site.publish(base=serial - 1)
    assert chain_of(directory) == (3, 2, 1)
    assert files_in(site.materialise(directory)) == files_in(site.trained)


def test_a_chain_ends_at_its_bound_and_the_next_lies_on_the_root(site: Site) -> None:
    for serial in range(2, 2 + MAX_CHAIN):
        site.change(1_000 * serial, b"again")
        assert default_base(site.registry) == serial - 1
        last = site.publish(base=serial - 1)
    assert files_in(site.materialise(last)) == files_in(site.trained)
    assert default_base(site.registry) == 1
    with pytest.raises(FailedPreconditionError, match="take v000001 as the base"):
        site.publish(base=1 + MAX_CHAIN)
    assert not list(site.registry.glob("*.tmp"))


def test_a_second_call_takes_what_the_first_one_made(site: Site) -> None:
    site.change(100, b"new row")
    directory = site.publish(base=1)
    first = site.materialise(directory)
    made = (first / "index.hnsw").stat().st_ino
    assert site.materialise(directory) == first
    assert (first / "index.hnsw").stat().st_ino == made


def test_a_second_call_reads_the_files_again_once_they_are_old(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.change(100, b"new row")
    directory = site.publish(base=1)
    checked: list[Path] = []

    def counted(folder: Path, files: Iterable[ReleaseFile]) -> None:
        checked.append(folder)
        check_files(folder, files)

    site.materialise(directory)
    monkeypatch.setattr(delta, "check_files", counted)
    complete = site.materialise(directory)
    assert checked == []
    os.utime(complete / "index.hnsw")
    for _ in range(2):
        assert site.materialise(directory) == complete
    assert checked == [complete]


def test_what_was_damaged_in_the_cache_is_made_anew(site: Site) -> None:
    site.change(100, b"new row")
    directory = site.publish(base=1)
    path = site.materialise(directory) / "index.hnsw"
    path.write_bytes(bytes(path.stat().st_size))
    assert files_in(site.materialise(directory)) == files_in(site.trained)


def test_the_cache_forgets_releases_that_are_gone(site: Site) -> None:
    site.change(100, b"new row")
    gone = site.materialise(site.publish(base=1))
    site.change(200, b"new row")
    directory = site.publish(base=1)
    shutil.rmtree(site.registry / "v000002")
    (site.cache / "v000003-0123456789abcdef.tmp").mkdir()
    complete = site.materialise(directory)
    assert not gone.exists()
    assert left_in(site.cache) == [complete.parent.name]


def test_a_missing_base_is_named(site: Site) -> None:
    directory = site.publish(base=1)
    shutil.rmtree(site.registry / "v000001")
    with pytest.raises(FailedPreconditionError, match=r"v000002 .* v000001, which"):
        site.materialise(directory)


def test_another_release_with_the_bases_serial_is_refused(site: Site) -> None:
    directory = site.publish(base=1)
    signed_again(site.registry / "v000001", created_time_seconds=5)
    with pytest.raises(FailedPreconditionError, match=r"v000002 .* v000001 .* another"):
        site.materialise(directory)


def test_a_base_that_is_not_there_cannot_be_published_on(site: Site) -> None:
    with pytest.raises(FailedPreconditionError, match="v000007 is not in"):
        site.publish(base=7)
    assert not (site.registry / "v000002").exists()


def test_a_damaged_base_cannot_be_published_on(site: Site) -> None:
    (site.registry / "v000001" / "index.hnsw").write_bytes(bytes(60_000))
    with pytest.raises(DataLossError, match="index"):
        site.publish(base=1)


@pytest.mark.parametrize("name", ["index.hnsw", "user_tower.safetensors"])
def test_a_base_that_was_damaged_since_makes_nothing(site: Site, name: str) -> None:
    site.change(100, b"new row")
    directory = site.publish(base=1)
    path = site.registry / "v000001" / name
    content = bytearray(path.read_bytes())
    content[40_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataLossError, match=name.partition(".")[0]):
        site.materialise(directory)
    assert left_in(site.cache) == []


def test_a_damaged_patch_is_refused_where_it_lies(site: Site) -> None:
    site.change(100, b"new row")
    directory = site.publish(base=1)
    patch = directory / "index.hnsw.delta"
    content = bytearray(patch.read_bytes())
    content[-1] ^= 1
    patch.write_bytes(content)
    with pytest.raises(DataLossError, match=r"index\.hnsw\.delta has SHA-256"):
        site.materialise(directory)


def test_a_patch_that_makes_another_file_is_refused(site: Site) -> None:
    # Signed and whole, and still not what the manifest says it makes.
    site.change(100, b"new row")
    directory = site.publish(base=1)
    fields = manifest_of(directory).model_dump(mode="json")
    for file in fields["files"]:
        if file["path"] == "index.hnsw":
            file["sha256"] = "0" * 64
    signed_again(directory, files=fields["files"])
    with pytest.raises(DataLossError, match=r"makes SHA-256 .*, must be 00000000"):
        site.materialise(directory)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base": None}, "come together"),
        ({"stored": None}, "come together"),
        ({"base": {"serial": 2, "manifest_sha256": "0" * 64}}, "not newer"),
        ({"base": {"serial": 0, "manifest_sha256": "0" * 64}}, "base.serial"),
        (
            {"stored": [{"path": "x.py", "size_bytes": 1, "sha256": "0" * 64}]},
            "x.py is stored",
        ),
        (
            {"stored": [{"path": "../x.delta", "size_bytes": 1, "sha256": "0" * 64}]},
            "stored.0.path",
        ),
        (
            {"stored": [{"path": "index.hnsw", "size_bytes": 1, "sha256": "0" * 64}]},
            "index.hnsw is stored",
        ),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    site: Site, changes: dict[str, object], said: str
) -> None:
    directory = site.publish(base=1)
    signed_again(directory, **changes)
    with pytest.raises(DataLossError, match=said.replace(".", r"\.")):
        verify_release(directory, KEY.verifying_key())


@pytest.mark.parametrize("survived", range(6))
def test_a_kill_while_making_it_leaves_nothing_that_counts(
    site: Site, survived: int
) -> None:
    # Files are linked, patched and renamed, a record is renamed: killed before each.
    site.change(100, b"new row")
    directory = site.publish(base=1)
    child = os.fork()
    if not child:
        _die_after(survived)
        site.materialise(directory)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert (status == 0) == (survived >= 5)
    assert files_in(site.materialise(directory)) == files_in(site.trained)
    assert not list(site.cache.glob("*.tmp"))


def _die_after(steps: int) -> None:
    """This process is killed at the next step that changes the cache's files."""
    left = [steps]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return real(*args, **named)

        return call

    for place, name in ((os, "link"), (delta, "apply_patch"), (Path, "rename")):
        setattr(place, name, dying(getattr(place, name)))


def test_a_full_disk_gets_its_room_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    site.change(100, b"new row")
    directory = site.publish(base=1)
    monkeypatch.setattr(delta, "apply_patch", full)
    with pytest.raises(OSError, match="No space"):
        site.materialise(directory)
    assert left_in(site.cache) == []


def test_a_registry_of_another_file_system_is_copied(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    directory = site.publish(base=1)
    monkeypatch.setattr(os, "link", refused)
    complete = site.materialise(directory)
    assert files_in(complete) == files_in(site.trained)
    assert (complete / "index.hnsw").stat().st_nlink == 1


def test_a_delta_in_its_complete_form_needs_no_base(site: Site) -> None:
    site.change(100, b"new row")
    directory = site.publish(base=1)
    complete = site.materialise(directory)
    shutil.rmtree(directory)
    shutil.copytree(complete, directory)
    shutil.rmtree(site.registry / "v000001")
    assert site.materialise(directory) == directory


def test_a_delta_may_lie_on_one_in_its_complete_form(site: Site) -> None:
    site.change(100, b"new row")
    directory = site.publish(base=1)
    complete = site.materialise(directory)
    shutil.rmtree(directory)
    shutil.copytree(complete, directory)
    site.change(200, b"another row")
    assert files_in(site.materialise(site.publish(base=2))) == files_in(site.trained)
    (directory / "index.hnsw").write_bytes(b"damaged")
    with pytest.raises(DataLossError, match=r"index\.hnsw"):
        site.publish(base=2)


def test_each_registry_has_a_cache_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    folders = {default_cache(tmp_path / name) for name in ("a", "b", "a/../b")}
    assert len(folders) == 2
    assert all(folder.is_relative_to(tmp_path / "home") for folder in folders)
