"""Publishing: from a folder of artifacts to a signed release, in one rename."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stepwell.base.clock import Clock, SystemClock
from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    check_range,
)
from stepwell.releases.aliases import Aliases, AliasFile, first_page
from stepwell.releases.delta import chain_of
from stepwell.releases.delta_publishing import (
    DeltaFields,
    complete_base,
    delta_fields,
)
from stepwell.releases.durable_files import sync_folder, sync_tree, write_durably
from stepwell.releases.manifest import (
    MANIFEST_NAME,
    METADATA_NAME,
    Manifest,
    ReleaseFile,
    ReleaseMetadata,
    parse_manifest,
    release_id_of,
)
from stepwell.releases.registry_lock import registry_lock
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
from stepwell.schema.feature_registry import RANKER_SERVICE

_STAGING_SUFFIX = ".tmp"
_UNSIGNED = "0" * 128
DEFAULT_KEPT = 3


class Publisher:
    """Puts releases into one registry directory.

    Args:
        registry: made when missing.
        key: signs; the registry trusts the key of its first publish only.
        kept: releases that stay after a publish, the newest ones, at least 2; those
            with a part in the aliases stay too.
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
        self._aliases = AliasFile(registry, key.verifying_key())

    def publish(
        self,
        folder: Path,
        metadata: ReleaseMetadata,
        *,
        promote: bool = True,
        base: int | None = None,
    ) -> Path:
        """Publishes the files in `folder` as the next release; returns its directory.

        A reader of the registry sees the release whole or not at all, also when this
        process dies at any point. `folder` is moved when it is `*.tmp` in the registry
        itself, and copied otherwise. A publish that fails leaves nothing behind.

        Args:
            promote: make it live; the first release of a registry always is.
            base: serial of the release that it is stored as a delta on; None stores
                it whole.

        Raises:
            NotFoundError: `folder` does not exist.
            InvalidArgumentError: it is empty or holds a file with an unfit name, or is
                to be moved and stored as a delta.
            DataLossError: it holds a link, or a file of another embedding space; or the
                registry's aliases are damaged.
            FailedPreconditionError: the registry trusts another key, is empty and
                must not promote, or has no such base for one more delta.
        """
        if not folder.is_dir():
            raise NotFoundError(f"there is no folder {folder} to publish")
        self._registry.mkdir(parents=True, exist_ok=True)
        if base is not None and self._is_own(folder):
            raise InvalidArgumentError(
                f"{folder} would be moved, and a delta takes files out of its folder; "
                "publish it from outside of the registry",
                "folder",
            )
        with registry_lock(self._registry):
            self._trust_key()
            self._remove_leftovers(keep=folder)
            existing = DirectorySource(self._registry).versions()
            page = self._page(existing)
            if page is None and not promote:
                raise FailedPreconditionError(
                    f"{self._registry} is empty: its first release goes live"
                )
            serial = _following(existing, page)
            published = self._registry / release_id_of(serial)
            with self._staged(folder, release_id_of(serial)) as staged:
                self._finalise(staged, serial, metadata, base)
                staged.rename(published)
            sync_folder(self._registry)
            if promote:
                page = self._make_live(serial)
            self._retire(existing, page)
        return published

    def _is_own(self, folder: Path) -> bool:
        """Whether a publish moves the folder in place of copying it."""
        is_staged = folder.suffix == _STAGING_SUFFIX
        return is_staged and folder.parent.samefile(self._registry)

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

    @contextmanager
    def _staged(self, folder: Path, release_id: str) -> Iterator[Path]:
        """A folder of the registry with the release's files; gone after a failure."""
        staged = self._registry / f"{release_id}{_STAGING_SUFFIX}"
        is_own = self._is_own(folder)
        try:
            if not is_own:
                list(release_paths(folder))  # a link would be followed by the copy
                shutil.copytree(folder, staged)
            elif folder.name != staged.name:
                folder.rename(staged)
            for name in (MANIFEST_NAME, METADATA_NAME):
                (staged / name).unlink(missing_ok=True)
            yield staged
        except BaseException:
            # A disk that is full has room again; what was moved is the caller's.
            if is_own and staged.exists():
                staged.rename(folder)
            elif not is_own:
                shutil.rmtree(staged, ignore_errors=True)
            raise

    def _finalise(
        self, staged: Path, serial: int, metadata: ReleaseMetadata, base: int | None
    ) -> None:
        paths = list(release_paths(staged))
        if not paths:
            raise InvalidArgumentError(f"{staged} holds no files", "folder")
        try:
            files = tuple(describe_file(staged, path) for path in paths)
            delta = self._delta(staged, files, base)
        except ValueError as error:
            raise InvalidArgumentError(f"{staged}: {error}", "folder") from error
        unsigned = Manifest(
            format_version=1,
            serial=serial,
            release_id=release_id_of(serial),
            created_time_seconds=self._clock.event_seconds(),
            metadata=metadata,
            feature_service_hash=RANKER_SERVICE.schema_hash(),
            files=files,
            signature=_UNSIGNED,
            **delta,
        )
        signature = self._key.sign(unsigned.signed_bytes()).hex()
        content = unsigned.model_copy(update={"signature": signature}).to_json()
        check_embedding_spaces(parse_manifest(content))
        (staged / MANIFEST_NAME).write_bytes(content)
        sync_tree(staged)

    def _delta(
        self, staged: Path, files: tuple[ReleaseFile, ...], base: int | None
    ) -> DeltaFields:
        """What the manifest says of a delta; leaves in `staged` what that stores."""
        if base is None:
            return {}
        with complete_base(self._registry, base) as (old, manifest):
            return delta_fields(staged, files, old, manifest)

    def _page(self, existing: tuple[ReleaseVersion, ...]) -> Aliases | None:
        """Returns the aliases; a registry that has releases and none is given them.

        They are there before the new release is: a server never has to guess.
        """
        page = self._aliases.read()
        if page is None and existing:
            first = first_page(existing[-1].serial, self._clock)
            page = self._aliases.update(lambda page: page, self._key, first)
        return page

    def _make_live(self, serial: int) -> Aliases:
        def change(page: Aliases) -> Aliases:
            previous = page.live if page.live != serial else None
            return page.model_copy(update={"live": serial, "previous": previous})

        return self._aliases.update(
            change, self._key, initial=first_page(serial, self._clock)
        )

    def _retire(
        self, existing: tuple[ReleaseVersion, ...], page: Aliases | None
    ) -> None:
        staying = self._staying(page)
        # A reader that has a retired release open keeps its files until it lets go.
        gone = [version for version in existing if version.serial not in staying]
        doomed = [v.directory.with_suffix(_STAGING_SUFFIX) for v in gone]
        for version, name in zip(gone, doomed, strict=True):
            version.directory.rename(name)
        if doomed:
            # Before the files go: after a power cut no release is there in part.
            sync_folder(self._registry)
        for name in doomed:
            shutil.rmtree(name)

    def _staying(self, page: Aliases | None) -> set[int]:
        """The newest releases, those with a part, and what their deltas stand on."""
        versions = DirectorySource(self._registry).versions()
        staying = {version.serial for version in versions[-self._kept :]}
        staying |= page.named() if page is not None else frozenset()
        for version in versions:
            if version.serial in staying:
                staying.update(_bases(version.directory))
        return staying


def _bases(directory: Path) -> tuple[int, ...]:
    try:
        return chain_of(directory)
    except DataLossError:
        # A release that was damaged since must not keep others from being published.
        return ()


def _following(existing: tuple[ReleaseVersion, ...], page: Aliases | None) -> int:
    """A serial is never given twice, even where somebody removed the newest folder."""
    serials = {version.serial for version in existing}
    named = frozenset[int]() if page is None else page.named()
    return max(serials | named, default=0) + 1
