"""A copy of a far registry on this machine: what is wanted, checked as it comes in.

A far registry is anything that fsspec opens: an object store, a bucket, a web server.
It has the form of a local one. There is no rename there, so a release is complete when
its manifest, which is put there last, names files that are there.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    StepwellError,
)
from stepwell.releases.aliases import (
    ALIASES_NAME,
    Aliases,
    AliasFile,
    parse_aliases,
)
from stepwell.releases.delta import chain_of
from stepwell.releases.durable_files import sync_folder, sync_tree, write_durably
from stepwell.releases.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    Manifest,
    ReleaseFile,
    parse_manifest,
    release_id_of,
    serial_of,
)
from stepwell.releases.registry_lock import (
    STAGING_SUFFIX,
    registry_lock,
    remove_leftovers,
)
from stepwell.releases.signing import VerifyingKey
from stepwell.releases.source import (
    TRUSTED_KEY_NAME,
    DirectorySource,
    ReleaseVersion,
)
from stepwell.releases.vetoes import VETOES_FOLDER, Veto, Vetoes

_PAGES_LOCK = ".pages.lock"
_MAX_PAGE_BYTES = 16 << 10
_CHUNK = 1 << 20
_SPARE = 2
"""Releases that stay here though they have no part any more."""


class RegistryMirror:
    """Copies a far registry, file by file, into a folder of the same form.

    Nothing is taken over that the key did not sign: the manifest is verified before a
    file is fetched, each file's size before it is read, its digest as it is.

    Args:
        url: of the registry, such as s3://bucket/registry.
        folder: the copy, made when missing; several processes may share it.
        key: whose releases and aliases are accepted; None takes the far registry's own
            as it is when the copy begins, and keeps it.

    Raises:
        NotFoundError: there is no such file system, its package is not installed, or
            the registry has no key and none is given.
    Concurrency: safe from any thread and process.
    """

    def __init__(self, url: str, folder: Path, key: VerifyingKey | None = None) -> None:
        self._files, root = _opened(url)
        self._root = PurePosixPath(root)
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.key = key or self._own_key()

    def refresh(self) -> None:
        """Takes aliases and vetoes over; what is no good leaves the former ones.

        Raises:
            DataLossError: the far aliases are damaged, of another key, or older than
                those here: who puts an old page back must not bring an old release
                back, and this folder remembers when no process does.
        Cost: a few small reads.
        """
        self._files.invalidate_cache()
        with registry_lock(self.folder, _PAGES_LOCK):
            aliases = self._take_aliases()
            self._take_vetoes(aliases)

    def missing(self) -> tuple[ReleaseVersion, ...]:
        """Returns the releases with a part, and their bases, that are not here yet.

        What is served comes first, a base before what stands on it. Where there are no
        aliases it is the newest.
        """
        here = {version.serial for version in DirectorySource(self.folder).versions()}
        return tuple(
            ReleaseVersion(serial, self.folder / release_id_of(serial))
            for serial in self._wanted()
            if serial not in here
        )

    def manifest_digest(self, version: ReleaseVersion) -> str | None:
        """Returns the SHA-256 of the far manifest; None where there is none to read.

        Cost: a small read over the network.
        """
        try:
            content = self._page(
                f"{release_id_of(version.serial)}/{MANIFEST_NAME}", MAX_MANIFEST_BYTES
            )
        except (StepwellError, OSError):
            return None
        return hashlib.sha256(content).hexdigest()

    def fetch(self, serial: int) -> None:
        """Copies one release; here it appears whole or not at all.

        Raises:
            NotFoundError: it is not there, or not complete yet.
            FailedPreconditionError: it is a delta, and its base is not here.
            DataLossError: a file is not what the signed manifest says.
        Cost: a read over the network of all that the release stores.
        """
        name = release_id_of(serial)
        with registry_lock(self.folder):
            directory = self.folder / name
            if directory.exists():
                return
            staged = directory.with_suffix(STAGING_SUFFIX)
            shutil.rmtree(staged, ignore_errors=True)
            try:
                self._fill(staged, name)
                staged.rename(directory)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
            sync_folder(self.folder)

    def forget(self) -> None:
        """Removes releases that have no part any more, but for the newest ones.

        What a killed process left goes too. A process that has a release open keeps its
        files until it lets go.
        """
        with registry_lock(self.folder):
            # Whoever makes one holds one of the two.
            with registry_lock(self.folder, _PAGES_LOCK):
                remove_leftovers(self.folder)
            versions = DirectorySource(self.folder).versions()
            staying = set(self._wanted())
            spare = [one for one in versions if one.serial not in staying]
            for version in spare[: max(0, len(spare) - _SPARE)]:
                doomed = version.directory.with_suffix(STAGING_SUFFIX)
                version.directory.rename(doomed)
                shutil.rmtree(doomed)

    def _own_key(self) -> VerifyingKey:
        """The far registry's key as it was first seen: one that changes is refused."""
        path = self.folder / TRUSTED_KEY_NAME
        # Processes that start together take the same one.
        with registry_lock(self.folder, _PAGES_LOCK):
            if not path.exists():
                pem = self._page(TRUSTED_KEY_NAME)
                VerifyingKey.from_pem(pem)
                write_durably(path, pem)
        return VerifyingKey.load(path)

    def _take_aliases(self) -> Aliases | None:
        path = self.folder / ALIASES_NAME
        try:
            content = self._page(ALIASES_NAME)
        except NotFoundError:
            return None
        aliases = parse_aliases(content)
        aliases.verify(self.key)
        own = self._own_aliases()
        if own is not None and aliases.revision < own.revision:
            raise DataLossError(
                f"{self._root / ALIASES_NAME} has revision {aliases.revision}, it had "
                f"{own.revision} before"
            )
        if aliases != own:
            write_durably(path, content)
        return aliases

    def _own_aliases(self) -> Aliases | None:
        """The page that is here; one that is no good counts for nothing."""
        try:
            return AliasFile(self.folder, self.key).read()
        except DataLossError:
            return None

    def _take_vetoes(self, aliases: Aliases | None) -> None:
        """Adds the far ones; one of this folder holds for the trial that it ended."""
        own = Vetoes(self.folder)
        far = set(self._serials(self._root / VETOES_FOLDER, suffix=".json"))
        trial = aliases.canary if aliases is not None else None
        for serial, veto in own.read().items():
            if trial is None or trial.serial != serial or serial in far:
                continue
            if veto.time_seconds < trial.started_seconds:
                own.remove(serial)
        for serial in far - set(own.read()):
            own.write(self._veto(serial))

    def _veto(self, serial: int) -> Veto:
        page = self._page(f"{VETOES_FOLDER}/{release_id_of(serial)}.json")
        try:
            return Veto.model_validate_json(page)
        except ValueError:
            # Somebody wanted that canary down.
            return Veto(serial=serial, reason="unreadable veto", time_seconds=0)

    def _wanted(self) -> list[int]:
        """What is served first; a base before the delta that stands on it."""
        aliases = AliasFile(self.folder, self.key).read()
        if aliases is not None:
            served = aliases.pinned or aliases.live
            named = sorted(aliases.named(), key=lambda serial: serial != served)
        else:
            named = sorted(self._serials(self._root))[-1:]
        wanted: dict[int, None] = {}
        for serial in named:
            chain = self._chain(serial)
            wanted.update(dict.fromkeys((*reversed(chain), serial)))
        return list(wanted)

    def _chain(self, serial: int) -> tuple[int, ...]:
        """Bases of a release, nearest first; what cannot be read ends the chain.

        Whoever fetches that release says why.
        """
        directory = self.folder / release_id_of(serial)
        try:
            if directory.exists():
                return chain_of(directory)
            manifest = self._manifest(release_id_of(serial))
        except (StepwellError, OSError):
            return ()
        if manifest.base is None or manifest.base.serial >= serial:
            return ()
        return (manifest.base.serial, *self._chain(manifest.base.serial))

    def _fill(self, staged: Path, name: str) -> None:
        manifest = self._manifest(name)
        base = manifest.base
        if base is not None and not (self.folder / release_id_of(base.serial)).exists():
            raise FailedPreconditionError(
                f"{name} is a delta on {release_id_of(base.serial)}, which is not here"
            )
        staged.mkdir()
        for file in manifest.stored_files:
            self._copy(self._root / name / file.path, file, staged / file.path)
        (staged / MANIFEST_NAME).write_bytes(manifest.to_json())
        sync_tree(staged)

    def _copy(self, source: PurePosixPath, file: ReleaseFile, target: Path) -> None:
        size = self._size(source)
        if size != file.size_bytes:
            raise DataLossError(f"{source} has {size} bytes, must be {file.size_bytes}")
        target.parent.mkdir(exist_ok=True)
        digest, left = hashlib.sha256(), file.size_bytes
        with (
            self._files.open(str(source), "rb") as stream,
            target.open("xb") as written,
        ):
            while left and (chunk := stream.read(min(left, _CHUNK))):
                digest.update(chunk)
                written.write(chunk)
                left -= len(chunk)
        if left or digest.hexdigest() != file.sha256:
            raise DataLossError(f"{source} is not what its manifest says")

    def _manifest(self, name: str) -> Manifest:
        content = self._page(f"{name}/{MANIFEST_NAME}", MAX_MANIFEST_BYTES)
        manifest = parse_manifest(content)
        self.key.verify(manifest.signed_bytes(), bytes.fromhex(manifest.signature))
        if manifest.release_id != name:
            raise DataLossError(f"{name} holds the manifest of {manifest.release_id}")
        return manifest

    def _serials(self, folder: PurePosixPath, suffix: str = "") -> Iterator[int]:
        try:
            found = self._files.ls(str(folder), detail=False)
        except FileNotFoundError:
            return
        for path in found:
            name = PurePosixPath(path.rstrip("/")).name
            serial = serial_of(name.removesuffix(suffix))
            if serial is not None and name.endswith(suffix):
                yield serial

    def _page(self, name: str, max_bytes: int = _MAX_PAGE_BYTES) -> bytes:
        path = self._root / name
        size = self._size(path)
        if size > max_bytes:
            raise DataLossError(f"{path} has {size} bytes, may have {max_bytes}")
        with self._files.open(str(path), "rb") as stream:
            content: bytes = stream.read(max_bytes)
        return content

    def _size(self, path: PurePosixPath) -> int:
        try:
            return int(self._files.info(str(path))["size"])
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no {path}") from error


def _opened(url: str) -> tuple[Any, str]:
    # Loaded for those who have a far registry only.
    from fsspec.core import url_to_fs

    try:
        files, root = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise NotFoundError(f"{url} cannot be opened: {error}") from error
    return files, str(root)
