"""Publishing: from a folder of artifacts to a signed release, in one rename."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from pydantic import ValidationError

from stepwell.base.clock import Clock, SystemClock
from stepwell.base.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    StepwellError,
    check_range,
)
from stepwell.releases.aliases import Aliases, AliasFile, first_page
from stepwell.releases.delta import chain_of
from stepwell.releases.delta_publishing import (
    DeltaFields,
    checked_base,
    complete_base,
    delta_fields,
)
from stepwell.releases.durable_files import (
    make_folder,
    sync_folder,
    sync_tree,
    write_durably,
)
from stepwell.releases.manifest import (
    MANIFEST_NAME,
    METADATA_NAME,
    Manifest,
    ReleaseFile,
    ReleaseMetadata,
    first_problem,
    parse_manifest,
    release_id_of,
)
from stepwell.releases.registry_lock import (
    STAGING_SUFFIX,
    leftovers,
    registry_lock,
    remove_leftovers,
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
from stepwell.releases.vetoes import Vetoes
from stepwell.schema.feature_registry import RANKER_SERVICE

_log = structlog.get_logger(__name__)
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

    def check(
        self,
        folder: Path,
        metadata: ReleaseMetadata,
        *,
        promote: bool = True,
        base: int | None = None,
    ) -> Manifest:
        """Returns the manifest that `publish` would sign; changes nothing.

        Of a delta it is the one of the whole release. Arguments and errors are those of
        `publish`; the content of a delta's base is not looked at.

        Cost: one read of every file.
        """
        self._check_folder(folder)
        self._trusts_key()
        existing = DirectorySource(self._registry).versions()
        page = self._aliases.read()
        serial = _next_serial(existing, page, promote=promote)
        if base is not None:
            checked_base(self._registry, base)
        return self._manifest(serial, metadata, _described(folder), {})

    def publish(
        self,
        folder: Path,
        metadata: ReleaseMetadata,
        *,
        promote: bool = True,
        base: int | None = None,
    ) -> Path:
        """Publishes a copy of `folder` as the next release; returns its directory.

        A reader of the registry sees the release whole or not at all, also when this
        process dies at any point. A publish that fails leaves nothing behind. What
        cannot be tidied up once the release is there is said in the log, and is left to
        the next publish.

        Args:
            promote: make it live; the first release of a registry always is.
            base: serial of the release that it is stored as a delta on; None stores
                it whole.

        Raises:
            NotFoundError: `folder` does not exist.
            InvalidArgumentError: it is empty, holds a file with an unfit name or more
                files than a release may have, or is one of the registry's own `*.tmp`,
                which a publish clears away.
            DataLossError: it holds a link, or a file of another embedding space; or the
                registry's aliases are damaged.
            FailedPreconditionError: the registry trusts another key, is empty and
                must not promote, or has no such base for one more delta.
        """
        self._check_folder(folder)
        make_folder(self._registry)
        with registry_lock(self._registry):
            if not self._trusts_key():
                pem = self._key.verifying_key().pem()
                write_durably(self._registry / TRUSTED_KEY_NAME, pem)
            self._tidy(lambda: remove_leftovers(self._registry))
            existing = DirectorySource(self._registry).versions()
            page = self._aliases.read()
            serial = _next_serial(existing, page, promote=promote)
            page = page or self._first_page(existing)
            published = self._registry / release_id_of(serial)
            with self._staged(folder, release_id_of(serial)) as staged:
                self._finalise(staged, serial, metadata, base)
                staged.rename(published)
            sync_folder(self._registry)
            if promote:
                page = self._make_live(serial)
            self._tidy(lambda: self._retire(page))
        return published

    def _check_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            raise NotFoundError(f"there is no folder {folder} to publish")
        inside = folder.resolve()
        if any(
            inside.is_relative_to(left.resolve()) for left in leftovers(self._registry)
        ):
            raise InvalidArgumentError(
                f"{folder} is what a publish that died leaves in a registry, and is "
                "cleared away; publish it from outside of the registry",
                "folder",
            )

    def _trusts_key(self) -> bool:
        """Whether the registry trusts our key; False where it trusts none yet."""
        path = self._registry / TRUSTED_KEY_NAME
        if not path.exists():
            return False
        if path.read_bytes() != self._key.verifying_key().pem():
            raise FailedPreconditionError(
                f"{path} is another key than the one that signs; publish with that "
                "registry's key, or into a new registry"
            )
        return True

    @contextmanager
    def _staged(self, folder: Path, release_id: str) -> Iterator[Path]:
        """A folder of the registry with the release's files; gone after a failure."""
        staged = self._registry / f"{release_id}{STAGING_SUFFIX}"
        try:
            list(release_paths(folder))  # a link would be followed by the copy
            shutil.copytree(folder, staged)
            for name in (MANIFEST_NAME, METADATA_NAME):
                (staged / name).unlink(missing_ok=True)
            yield staged
        except BaseException:
            # A disk that is full has room again.
            shutil.rmtree(staged, ignore_errors=True)
            raise

    def _finalise(
        self, staged: Path, serial: int, metadata: ReleaseMetadata, base: int | None
    ) -> None:
        files = _described(staged)
        delta = self._delta(staged, files, base)
        unsigned = self._manifest(serial, metadata, files, delta)
        signature = self._key.sign(unsigned.signed_bytes()).hex()
        signed = unsigned.model_copy(update={"signature": signature})
        (staged / MANIFEST_NAME).write_bytes(signed.to_json())
        sync_tree(staged)

    def _manifest(
        self,
        serial: int,
        metadata: ReleaseMetadata,
        files: tuple[ReleaseFile, ...],
        delta: DeltaFields,
    ) -> Manifest:
        """A manifest that readers will take once it is signed."""
        try:
            manifest = Manifest(
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
        except ValidationError as error:
            raise InvalidArgumentError(first_problem(error), "folder") from error
        check_embedding_spaces(parse_manifest(manifest.to_json()))
        return manifest

    def _delta(
        self, staged: Path, files: tuple[ReleaseFile, ...], base: int | None
    ) -> DeltaFields:
        """What the manifest says of a delta; leaves in `staged` what that stores."""
        if base is None:
            return {}
        with complete_base(self._registry, base) as (old, manifest):
            try:
                return delta_fields(staged, files, old, manifest)
            except ValidationError as error:
                # A name that leaves no room for a patch's.
                raise InvalidArgumentError(first_problem(error), "folder") from error

    def _first_page(self, existing: tuple[ReleaseVersion, ...]) -> Aliases | None:
        """Gives a registry from before aliases its page; an empty one has none.

        They are there before the new release is: a server never has to guess.
        """
        if not existing:
            return None
        first = first_page(existing[-1].serial, self._clock)
        return self._aliases.update(lambda page: page, self._key, first)

    def _make_live(self, serial: int) -> Aliases:
        def change(page: Aliases) -> Aliases:
            previous = page.live if page.live != serial else None
            return page.model_copy(update={"live": serial, "previous": previous})

        return self._aliases.update(
            change, self._key, initial=first_page(serial, self._clock)
        )

    def _tidy(self, work: Callable[[], None]) -> None:
        """Does what no release depends on; the next publish does what fails here."""
        try:
            work()
        except (StepwellError, OSError) as error:
            _log.warning("the registry is not tidied up", reason=str(error))

    def _retire(self, page: Aliases | None) -> None:
        """Removes the releases that do not stay, and every veto of a release gone.

        Raises:
            DataLossError: a release that stays cannot be read, and so not what it
                stands on: nothing is removed.
        """
        versions = DirectorySource(self._registry).versions()
        staying = self._staying(versions, page)
        # A reader that has a retired release open keeps its files until it lets go.
        gone = [version for version in versions if version.serial not in staying]
        doomed = [v.directory.with_suffix(STAGING_SUFFIX) for v in gone]
        for version, name in zip(gone, doomed, strict=True):
            version.directory.rename(name)
        if doomed:
            # Before the files go: after a power cut no release is there in part.
            sync_folder(self._registry)
        vetoes = Vetoes(self._registry)
        for serial in set(vetoes.read()) - staying:
            vetoes.remove(serial)
        for name in doomed:
            shutil.rmtree(name)

    def _staying(
        self, versions: tuple[ReleaseVersion, ...], page: Aliases | None
    ) -> set[int]:
        """The newest releases, those with a part, and what their deltas stand on."""
        staying = {version.serial for version in versions[-self._kept :]}
        staying |= page.named() if page is not None else frozenset()
        for version in versions:
            if version.serial in staying:
                staying.update(chain_of(version.directory))
        return staying


def _described(folder: Path) -> tuple[ReleaseFile, ...]:
    """The files of a release, but for what training says of them.

    Raises:
        InvalidArgumentError: there are none, or a name or a size is unfit.
        DataLossError: there is a link.
    """
    paths = [path for path in release_paths(folder) if path != METADATA_NAME]
    if not paths:
        raise InvalidArgumentError(f"{folder} holds no files", "folder")
    return tuple(_described_file(folder, path) for path in paths)


def _described_file(folder: Path, path: str) -> ReleaseFile:
    try:
        return describe_file(folder, path)
    except ValidationError as error:
        problem = f"{folder / path}: {first_problem(error)}"
        raise InvalidArgumentError(problem, "folder") from error


def _next_serial(
    existing: tuple[ReleaseVersion, ...], page: Aliases | None, *, promote: bool
) -> int:
    """A serial is never given twice, even where somebody removed the newest folder."""
    serials = {version.serial for version in existing}
    named = frozenset[int]() if page is None else page.named()
    if not serials | named and not promote:
        raise FailedPreconditionError(
            "the registry is empty: its first release goes live"
        )
    return max(serials | named, default=0) + 1
