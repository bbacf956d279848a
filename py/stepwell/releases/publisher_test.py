import errno
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
import structlog.testing

import stepwell.releases.publisher
from stepwell.base.clock import FakeClock
from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    StepwellError,
)
from stepwell.releases.aliases import ALIASES_NAME, AliasFile
from stepwell.releases.manifest import MAX_FILES, ReleaseMetadata, parse_manifest
from stepwell.releases.publisher import Publisher
from stepwell.releases.rollout import Rollout
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import TRUSTED_KEY_NAME, DirectorySource
from stepwell.releases.verification import verify_release
from stepwell.releases.vetoes import Veto, Vetoes
from stepwell.schema.feature_registry import RANKER_SERVICE

KEY = SigningKey.generate()
METADATA = ReleaseMetadata(
    data_watermark_seconds=1_500_000_000,
    embedding_space_hash="a" * 64,
    feature_schema_hash="b" * 64,
    embedding_spaces={"index.hnsw": "a" * 64},
    models={"full": {"layers": [64, 1], "dropout": 0.1, "name": "größe"}},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    trained = tmp_path / "trained"
    (trained / "tables").mkdir(parents=True)
    (trained / "index.hnsw").write_bytes(b"graph" * 100)
    (trained / "tables" / "items.safetensors").write_bytes(bytes(1_000))
    METADATA.save(trained)
    return trained


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return tmp_path / "registry"


def parts(registry: Path) -> tuple[int, int | None]:
    page = AliasFile(registry, KEY.verifying_key()).read()
    assert page is not None
    return page.live, page.previous


def names(registry: Path) -> list[str]:
    return sorted(entry.name for entry in registry.iterdir() if entry.is_dir())


def test_publishes_a_release_that_verifies(folder: Path, registry: Path) -> None:
    publisher = Publisher(registry, KEY, clock=FakeClock(1_600_000_000))
    directory = publisher.publish(folder, ReleaseMetadata.load(folder))
    manifest = verify_release(directory, KEY.verifying_key())
    assert directory == registry / "v000001"
    assert manifest.metadata == METADATA
    assert manifest.created_time_seconds == 1_600_000_000
    assert manifest.feature_service_hash == RANKER_SERVICE.schema_hash()
    assert [file.path for file in manifest.files] == [
        "index.hnsw",
        "tables/items.safetensors",
    ]
    assert manifest.total_bytes == 1_500
    assert (folder / "index.hnsw").exists()  # a copy: the trained folder stays


@pytest.mark.parametrize("name", ["train.tmp", "train.tmp/inner"])
def test_a_folder_that_the_next_publish_clears_away_is_refused(
    folder: Path, registry: Path, name: str
) -> None:
    staged = Path(shutil.copytree(folder, registry / name))
    publisher = Publisher(registry, KEY)
    for refuses in (publisher.publish, publisher.check):
        with pytest.raises(InvalidArgumentError, match="outside of the registry"):
            refuses(staged, METADATA)
    assert (staged / "index.hnsw").exists()


def test_serials_grow_and_the_newest_releases_stay(
    folder: Path, registry: Path
) -> None:
    publisher = Publisher(registry, KEY, kept=2)
    for serial in range(1, 5):
        published = publisher.publish(folder, METADATA)
        assert published.name == f"v{serial:06d}"
    assert names(registry) == ["v000003", "v000004"]
    versions = DirectorySource(registry).versions()
    assert [version.serial for version in versions] == [3, 4]


def test_clears_what_a_dead_publish_left(folder: Path, registry: Path) -> None:
    (registry / "v000001.tmp").mkdir(parents=True)
    (registry / "v000001.tmp" / "half").write_bytes(b"x")
    Publisher(registry, KEY).publish(folder, METADATA)
    assert names(registry) == ["v000001"]
    assert not (registry / "v000001" / "half").exists()


def test_a_published_release_is_live_and_the_one_before_it_previous(
    folder: Path, registry: Path
) -> None:
    publisher = Publisher(registry, KEY)
    publisher.publish(folder, METADATA)
    assert parts(registry) == (1, None)
    publisher.publish(folder, METADATA)
    assert parts(registry) == (2, 1)


def test_a_release_that_must_wait_is_published_and_not_live(
    folder: Path, registry: Path
) -> None:
    refused = Refused(registry)(folder, "first release goes live", promote=False)
    assert refused is FailedPreconditionError
    publisher = Publisher(registry, KEY)
    publisher.publish(folder, METADATA)
    publisher.publish(folder, METADATA, promote=False)
    assert names(registry) == ["v000001", "v000002"]
    assert parts(registry) == (1, None)


def test_a_registry_from_before_aliases_is_given_them_before_the_release(
    folder: Path, registry: Path
) -> None:
    publisher = Publisher(registry, KEY)
    publisher.publish(folder, METADATA)
    (registry / ALIASES_NAME).unlink()
    publisher.publish(folder, METADATA, promote=False)
    assert parts(registry) == (1, None)


def test_releases_with_a_part_stay(folder: Path, registry: Path) -> None:
    publisher = Publisher(registry, KEY, kept=2)
    publisher.publish(folder, METADATA)
    for _ in range(3):
        publisher.publish(folder, METADATA, promote=False)
    assert names(registry) == ["v000001", "v000003", "v000004"]
    Rollout(registry, KEY).canary(3, 1_000)
    publisher.publish(folder, METADATA)
    assert names(registry) == ["v000001", "v000003", "v000004", "v000005"]
    Rollout(registry, KEY).pin(1)
    publisher.publish(folder, METADATA)
    publisher.publish(folder, METADATA)
    assert names(registry) == ["v000001", "v000003", "v000006", "v000007"]


def test_what_a_kept_delta_stands_on_stays(folder: Path, registry: Path) -> None:
    publisher = Publisher(registry, KEY, kept=2)
    publisher.publish(folder, METADATA)
    for base in (1, 2, 3):
        publisher.publish(folder, METADATA, base=base)
    assert names(registry) == ["v000001", "v000002", "v000003", "v000004"]
    for _ in range(2):
        publisher.publish(folder, METADATA)
    assert names(registry) == ["v000005", "v000006"]


def test_nothing_goes_while_nobody_knows_what_a_damaged_release_stands_on(
    folder: Path, registry: Path
) -> None:
    publisher = Publisher(registry, KEY, kept=2)
    publisher.publish(folder, METADATA)
    publisher.publish(folder, METADATA, base=1)
    manifest = registry / "v000002" / "manifest.json"
    good = manifest.read_bytes()
    manifest.write_bytes(b"damaged since")
    with structlog.testing.capture_logs() as lines:
        assert publisher.publish(folder, METADATA).name == "v000003"
    assert [line["event"] for line in lines] == ["the registry is not tidied up"]
    assert names(registry) == ["v000001", "v000002", "v000003"]
    manifest.write_bytes(good)
    for _ in range(2):
        publisher.publish(folder, METADATA)
    assert names(registry) == ["v000004", "v000005"]


def test_a_release_that_is_there_is_published_whatever_cannot_be_tidied_up(
    folder: Path, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher(registry, KEY, kept=2)
    for _ in range(2):
        publisher.publish(folder, METADATA)
    (registry / "delta_base.tmp").mkdir()

    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, "permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refused)
        assert publisher.publish(folder, METADATA).name == "v000003"
    assert parts(registry) == (3, 2)
    publisher.publish(folder, METADATA)
    assert names(registry) == ["v000003", "v000004"]


def test_a_retired_release_takes_its_veto_along(folder: Path, registry: Path) -> None:
    publisher = Publisher(registry, KEY, kept=2)
    publisher.publish(folder, METADATA)
    vetoes = Vetoes(registry)
    for serial in (1, 2):
        vetoes.write(Veto(serial=serial, reason="psi", time_seconds=1))
    for _ in range(2):
        publisher.publish(folder, METADATA)
    assert set(vetoes.read()) == {2}


def test_a_new_registrys_own_name_is_synced(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()

    def note(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_dir():
            synced.update(str(entry) for entry in path.iterdir())

    monkeypatch.setattr(os, "fsync", note)
    Publisher(tmp_path / "new" / "registry", KEY).publish(folder, METADATA)
    assert {str(tmp_path / "new"), str(tmp_path / "new" / "registry")} <= synced


def test_a_check_says_what_a_publish_would_sign_and_changes_nothing(
    folder: Path, registry: Path
) -> None:
    publisher = Publisher(registry, KEY)
    assert publisher.check(folder, METADATA).serial == 1
    assert not registry.exists()
    published = publisher.publish(folder, METADATA)
    shutil.rmtree(publisher.publish(folder, METADATA))
    before = sorted(registry.rglob("*"))
    # What an export wrote is published again: its manifest is no file of the release.
    checked = publisher.check(published, METADATA, base=1)
    assert (checked.serial, len(checked.files), checked.total_bytes) == (3, 2, 1_500)
    assert sorted(registry.rglob("*")) == before


def test_a_serial_is_not_given_twice(folder: Path, registry: Path) -> None:
    publisher = Publisher(registry, KEY)
    publisher.publish(folder, METADATA)
    shutil.rmtree(publisher.publish(folder, METADATA))
    assert publisher.publish(folder, METADATA).name == "v000003"


def test_a_publish_that_finds_no_room_leaves_nothing_behind(
    folder: Path, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher(registry, KEY)
    publisher.publish(folder, METADATA)

    def full(staged: Path) -> None:
        raise OSError(errno.ENOSPC, "no space left on device", str(staged))

    monkeypatch.setattr(stepwell.releases.publisher, "sync_tree", full)
    with pytest.raises(OSError, match="no space"):
        publisher.publish(folder, METADATA)
    assert names(registry) == ["v000001"]


def test_two_publishers_at_once_make_two_releases(folder: Path, registry: Path) -> None:
    threads = [
        threading.Thread(
            target=Publisher(registry, KEY).publish, args=(folder, METADATA)
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(registry) == ["v000001", "v000002"]


class Refused:
    """A publish that must not be, and is told so by a check of it as well."""

    def __init__(self, registry: Path, key: SigningKey = KEY) -> None:
        self._registry, self._publisher = registry, Publisher(registry, key)

    def __call__(
        self,
        folder: Path,
        reason: str,
        metadata: ReleaseMetadata = METADATA,
        *,
        promote: bool = True,
    ) -> type[Exception]:
        before = names(self._registry) if self._registry.exists() else []
        kinds = set()
        for refuses in (self._publisher.check, self._publisher.publish):
            with pytest.raises(StepwellError, match=reason) as refused:
                refuses(folder, metadata, promote=promote)
            kinds.add(refused.type)
        assert not self._registry.exists() or names(self._registry) == before
        (kind,) = kinds
        return kind


def test_refuses_a_registry_of_another_key(folder: Path, registry: Path) -> None:
    Publisher(registry, KEY).publish(folder, METADATA)
    refused = Refused(registry, SigningKey.generate())
    assert refused(folder, TRUSTED_KEY_NAME) is FailedPreconditionError


def test_refuses_an_index_of_another_embedding_space(
    folder: Path, registry: Path
) -> None:
    mixed = METADATA.model_copy(update={"embedding_spaces": {"index.hnsw": "d" * 64}})
    assert Refused(registry)(folder, "embedding space dddd", mixed) is DataLossError


@pytest.mark.parametrize("name", [".hidden", "with blank", "ümlaut", "a" * 200])
def test_refuses_a_file_with_an_unfit_name(
    folder: Path, registry: Path, name: str
) -> None:
    (folder / name).write_bytes(b"x")
    assert Refused(registry)(folder, f"{name}: path") is InvalidArgumentError


def test_refuses_an_empty_file_and_too_many(folder: Path, registry: Path) -> None:
    (folder / "empty").touch()
    assert Refused(registry)(folder, "empty: size_bytes") is InvalidArgumentError
    (folder / "empty").unlink()
    for number in range(MAX_FILES):
        (folder / f"file{number}").write_bytes(b"x")
    assert Refused(registry)(folder, "at most 256 items") is InvalidArgumentError


def test_refuses_a_link(folder: Path, registry: Path) -> None:
    (folder / "link").symlink_to("/etc/hostname")
    assert Refused(registry)(folder, "not a regular file") is DataLossError


def test_refuses_a_missing_and_an_empty_folder(tmp_path: Path, registry: Path) -> None:
    refused = Refused(registry)
    assert refused(tmp_path / "missing", "no folder") is NotFoundError
    (tmp_path / "empty").mkdir()
    METADATA.save(tmp_path / "empty")
    assert refused(tmp_path / "empty", "no files") is InvalidArgumentError


def test_metadata_that_training_never_wrote_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"release_metadata\.json"):
        ReleaseMetadata.load(tmp_path)
    (tmp_path / "release_metadata.json").write_text('{"data_watermark_seconds": -1}')
    with pytest.raises(DataLossError, match="data_watermark_seconds"):
        ReleaseMetadata.load(tmp_path)
    METADATA.model_copy(update={"models": {"a": "number"}}).save(tmp_path)
    page = tmp_path / "release_metadata.json"
    page.write_bytes(page.read_bytes().replace(b'"number"', b"NaN"))
    with pytest.raises(DataLossError, match="models"):
        ReleaseMetadata.load(tmp_path)


def test_a_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signing.key"
    key = SigningKey.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    again = SigningKey.load_or_create(path)
    assert again.verifying_key().pem() == key.verifying_key().pem()
    path.chmod(0o640)
    with pytest.raises(PermissionDeniedError, match="0640"):
        SigningKey.load_or_create(path)


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    path.touch(0o600)
    with pytest.raises(DataLossError, match="no private key"):
        SigningKey.load_or_create(path)


def test_manifest_is_one_canonical_page(folder: Path, registry: Path) -> None:
    directory = Publisher(registry, KEY).publish(folder, METADATA)
    content = (directory / "manifest.json").read_bytes()
    assert parse_manifest(content).to_json() == content
    spaced = json.dumps(json.loads(content), indent=1).encode()
    with pytest.raises(DataLossError, match="canonical"):
        parse_manifest(spaced)
