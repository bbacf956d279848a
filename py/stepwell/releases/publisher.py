"""Publishing: from a folder of artifacts to a signed release, in one rename."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stepwell.base.clock import Clock, SystemClock
from stepwell.base.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    check_range,
)
from stepwell.releases.durable_files import sync_folder, sync_tree, write_durably
from stepwell.releases.manifest import (
    MANIFEST_NAME,
    METADATA_NAME,
    Manifest,
    ReleaseMetadata,
    parse_manifest,
    release_id_of,
)
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import (
    TRUSTED_KEY_NAME,
    DirectorySource,
    ReleaseVersion,
)
from stepwell.releases.verification import (
    check_embedding_spaces,
    describe_file,
    release_paths,
)

_LOCK_NAME = ".publish.lock"
_STAGING_SUFFIX = ".tmp"
_UNSIGNED = "0" * 128
DEFAULT_KEPT = 3


class Publisher:
    """Puts releases into one registry directory.

    Args:
        registry: made when missing.
        key: signs; the registry trusts the key of its first publish only.
        kept: releases that stay after a publish, the newest ones, at least 2.
        clock: gives the time of creation.

    Concurrency: several processes may publish into one registry; one at a time does.
    """

    def __init__(
        self,
        registry: Path,
        key: SigningKey,
        kept: int = DEFAULT_KEPT,
        clock: Clock | None = None,
    ) -> None:
        check_range("kept", kept, 2, 1_000)
        self._registry = registry
        self._key = key
        self._kept = kept
        self._clock = clock or SystemClock()

    def publish(self, folder: Path, metadata: ReleaseMetadata) -> Path:
        """Publishes the files in `folder` as the next release; returns its directory.

        A reader of the registry sees the release whole or not at all, also when this
        process dies at any point. `folder` is moved when it is `*.tmp` in the registry
        itself, and copied otherwise.

        Raises:
            NotFoundError: `folder` does not exist.
            InvalidArgumentError: it is empty or holds a file with an unfit name.
            DataLossError: it holds a link, or a file of another embedding space.
            FailedPreconditionError: the registry trusts another key.
        """
        if not folder.is_dir():
            raise NotFoundError(f"there is no folder {folder} to publish")
        self._registry.mkdir(parents=True, exist_ok=True)
        with self._lock():
            self._trust_key()
            self._remove_leftovers(keep=folder)
            existing = DirectorySource(self._registry).versions()
            serial = existing[-1].serial + 1 if existing else 1
            staged = self._stage(folder, release_id_of(serial))
            self._finalise(staged, serial, metadata)
            published = self._registry / release_id_of(serial)
            staged.rename(published)
            sync_folder(self._registry)
            self._retire(existing)
        return published

    @contextmanager
    def _lock(self) -> Iterator[None]:
        descriptor = os.open(
            self._registry / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _trust_key(self) -> None:
        path = self._registry / TRUSTED_KEY_NAME
        own = self._key.verifying_key().pem()
        if not path.exists():
            write_durably(path, own)
        elif path.read_bytes() != own:
            raise FailedPreconditionError(
                f"{path} is another key than the one that signs; publish with that "
                "registry's key, or into a new registry"
            )

    def _remove_leftovers(self, keep: Path) -> None:
        """Clears what a publish left that died; under the lock nobody else owns it."""
        for entry in self._registry.glob(f"*{_STAGING_SUFFIX}"):
            if entry.resolve() == keep.resolve():
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _stage(self, folder: Path, release_id: str) -> Path:
        staged = self._registry / f"{release_id}{_STAGING_SUFFIX}"
        own = folder.suffix == _STAGING_SUFFIX and folder.parent.samefile(
            self._registry
        )
        if own:
            if folder.name != staged.name:
                folder.rename(staged)
        else:
            list(release_paths(folder))  # a link would be followed by the copy
            shutil.copytree(folder, staged)
        for name in (MANIFEST_NAME, METADATA_NAME):
            (staged / name).unlink(missing_ok=True)
        return staged

    def _finalise(self, staged: Path, serial: int, metadata: ReleaseMetadata) -> None:
        paths = list(release_paths(staged))
        if not paths:
            raise InvalidArgumentError(f"{staged} holds no files", "folder")
        try:
            files = tuple(describe_file(staged, path) for path in paths)
        except ValueError as error:
            raise InvalidArgumentError(f"{staged}: {error}", "folder") from error
        unsigned = Manifest(
            format_version=1,
            serial=serial,
            release_id=release_id_of(serial),
            created_time_seconds=self._clock.event_seconds(),
            metadata=metadata,
            files=files,
            signature=_UNSIGNED,
        )
        signature = self._key.sign(unsigned.signed_bytes()).hex()
        content = unsigned.model_copy(update={"signature": signature}).to_json()
        check_embedding_spaces(parse_manifest(content))
        (staged / MANIFEST_NAME).write_bytes(content)
        sync_tree(staged)

    def _retire(self, existing: tuple[ReleaseVersion, ...]) -> None:
        # A reader that has a retired release open keeps its files until it lets go.
        for version in existing[: max(0, len(existing) + 1 - self._kept)]:
            doomed = version.directory.with_suffix(_STAGING_SUFFIX)
            version.directory.rename(doomed)
            shutil.rmtree(doomed)
