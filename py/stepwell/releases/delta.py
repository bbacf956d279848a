"""Deltas: a release that stores what differs from another one, its base.

A delta's manifest lists the complete files, so that it says what the result must be
whoever makes it. What is stored beside it is of three kinds: a file that the base has
with the same digest is absent, one that shares enough with the base's is a patch, any
other lies there whole.

A chain is a delta, its base, that one's base and so on to a full release.
"""

import hashlib
import os
import shutil
from pathlib import Path

import structlog

from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
)
from stepwell.base.user_cache import user_cache
from stepwell.releases.delta_patch import apply_patch
from stepwell.releases.manifest import (
    MANIFEST_NAME,
    PATCH_SUFFIX,
    DeltaBase,
    Manifest,
    ReleaseFile,
    parse_manifest,
    release_id_of,
    serial_of,
)
from stepwell.releases.registry_lock import registry_lock
from stepwell.releases.verification import check_files, read_manifest, release_paths
from stepwell.releases.verified_records import VerifiedRecords, identity_of

_log = structlog.get_logger(__name__)

MAX_CHAIN = 8
"""Bases below a delta at most: each costs a patch of every changed file."""
_LOCK_NAME = ".lock"
_RECORDS_NAME = ".verified"
_STAGING_SUFFIX = ".tmp"


def materialised(
    directory: Path, manifest: Manifest, base_directory: Path, cache_folder: Path
) -> Path:
    """Returns a directory with the complete release; `directory` when it is full.

    What a delta makes stays in the cache, under the name of its manifest's digest,
    while the release is in its registry. Unchanged files are hard links where the cache
    is on the registry's file system, else copies.

    Args:
        directory: a release that verify_release accepted.
        manifest: what that returned.
        base_directory: its base, in the form in which the registry has it; where that
            is a delta, its own base lies beside it.
        cache_folder: made when missing, readable by its owner only.
    Raises:
        FailedPreconditionError: the base is missing or another release, or the chain is
            longer than MAX_CHAIN; both serials are named.
        DataLossError: a stored file or a result is not what the manifest says.
    Concurrency: any thread or process; one at a time works in a cache.
    Cost: a read of all files, and a write of those that differ; a few ms where the same
    was asked in the last minutes.
    """
    if manifest.base is None or _lists_all(directory, manifest):
        return directory
    cache_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with registry_lock(cache_folder, _LOCK_NAME):
        _forget_gone(cache_folder, registry=directory.parent)
        return _complete(directory, manifest, base_directory, cache_folder, MAX_CHAIN)


class DeltaCache:
    """Makes the deltas of one registry complete, in a folder of this machine.

    Args:
        folder: made when the first delta comes; of this registry alone, for what is
            gone from the registry goes from here too.

    Concurrency: as materialised.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def complete(self, directory: Path, manifest: Manifest) -> Path:
        """Returns the complete release, as `materialised`; bases lie beside it."""
        serial = manifest.base.serial if manifest.base else manifest.serial
        base = directory.parent / release_id_of(serial)
        return materialised(directory, manifest, base, self._folder)


def default_cache(registry: Path) -> Path:
    """Returns the user's own folder for the deltas of a registry."""
    name = hashlib.sha256(str(registry.resolve()).encode()).hexdigest()[:16]
    return user_cache() / "deltas" / name


def base_of(manifest: Manifest, base_directory: Path) -> Manifest:
    """Returns the base's manifest.

    Raises:
        FailedPreconditionError: it is not there, or not the one that the delta is for.
    """
    base = manifest.base
    if base is None:
        raise FailedPreconditionError(f"{manifest.release_id} is no delta")
    wanted = release_id_of(base.serial)
    try:
        content = read_manifest(base_directory)
    except (NotFoundError, NotADirectoryError) as error:
        raise FailedPreconditionError(
            f"{manifest.release_id} is a delta on {wanted}, which is not in "
            f"{base_directory.parent}"
        ) from error
    if hashlib.sha256(content).hexdigest() != base.manifest_sha256:
        raise FailedPreconditionError(
            f"{manifest.release_id} is a delta on {wanted} with manifest "
            f"{base.manifest_sha256[:16]}; {base_directory.name} here is another "
            "release"
        )
    return parse_manifest(content)


def chain_of(directory: Path) -> tuple[int, ...]:
    """Returns the serials below a release, nearest first; none for a full one.

    They are read from the manifests beside it, whose signatures are not checked. A base
    that is not there ends the chain. Cost: one small file a link.
    """
    serials: list[int] = []
    while len(serials) <= MAX_CHAIN:
        try:
            manifest = parse_manifest(read_manifest(directory))
        except (NotFoundError, NotADirectoryError):
            break
        if manifest.base is None:
            break
        serials.append(manifest.base.serial)
        directory = directory.parent / release_id_of(manifest.base.serial)
    return tuple(serials)


def delta_base(directory: Path) -> DeltaBase:
    """Returns how a delta on the release in `directory` names it."""
    content = read_manifest(directory)
    sha256 = hashlib.sha256(content).hexdigest()
    return DeltaBase(serial=parse_manifest(content).serial, manifest_sha256=sha256)


def _complete(
    directory: Path, manifest: Manifest, base_directory: Path, cache: Path, links: int
) -> Path:
    """The complete form of a release of the chain, made when it is not there yet."""
    if manifest.base is None or _lists_all(directory, manifest):
        return directory
    if links == 0:
        raise FailedPreconditionError(
            f"{manifest.release_id}: more than {MAX_CHAIN} deltas lie on each other"
        )
    target = cache / _cache_name(manifest)
    complete = target / manifest.release_id
    records = VerifiedRecords(cache / _RECORDS_NAME)
    if target.exists():
        if _is_whole(complete, manifest, records):
            return complete
        shutil.rmtree(target)
    base = base_of(manifest, base_directory)
    beside = release_id_of(base.base.serial) if base.base else ""
    old = _complete(
        base_directory, base, base_directory.parent / beside, cache, links - 1
    )
    staged = target.with_suffix(_STAGING_SUFFIX)
    (staged / manifest.release_id).mkdir(parents=True)
    try:
        _fill(staged / manifest.release_id, directory, manifest, (old, base))
    except BaseException:
        # A disk that is full has room again.
        shutil.rmtree(staged, ignore_errors=True)
        raise
    staged.rename(target)
    _note(records, identity_of(complete))
    return complete


def _lists_all(directory: Path, manifest: Manifest) -> bool:
    """A delta may lie in its complete form, as an export writes it."""
    return set(release_paths(directory)) == {file.path for file in manifest.files}


def _cache_name(manifest: Manifest) -> str:
    digest = hashlib.sha256(manifest.to_json()).hexdigest()
    return f"{manifest.release_id}-{digest[:16]}"


def _is_whole(complete: Path, manifest: Manifest, records: VerifiedRecords) -> bool:
    """Whether what the cache has is still what it was made to be.

    These very files may have been read a moment ago, by the child that prepares a
    release or by another server of this machine: that is taken for good.
    """
    try:
        if read_manifest(complete) != manifest.to_json():
            return False
        if not _lists_all(complete, manifest):
            return False
        identity = identity_of(complete)
        if not records.has(identity):
            check_files(complete, manifest.files)
            if identity_of(complete) == identity:
                _note(records, identity)
    except (DataLossError, NotFoundError):
        return False
    return True


def _note(records: VerifiedRecords, identity: str) -> None:
    try:
        records.add(identity)
    except OSError as error:
        _log.info("a complete release is read again next time", reason=str(error))


def _fill(
    target: Path, directory: Path, manifest: Manifest, base: tuple[Path, Manifest]
) -> None:
    """Writes the complete release into an empty folder, every digest checked."""
    old, old_manifest = base
    unchanged = {file.path: file for file in old_manifest.files}
    stored = {file.path for file in manifest.stored_files}
    linked: list[ReleaseFile] = []
    for file in manifest.files:
        made = target / file.path
        made.parent.mkdir(exist_ok=True)
        if file.path + PATCH_SUFFIX in stored:
            _patch(file, old, directory, made)
            continue
        if file.path in stored:
            source = directory
        elif unchanged.get(file.path) == file:
            source = old
        else:
            raise DataLossError(
                f"{directory}: {file.path} is neither stored nor that of "
                f"{old_manifest.release_id}"
            )
        _link_or_copy(source / file.path, made)
        linked.append(file)
    check_files(target, linked)
    (target / MANIFEST_NAME).write_bytes(manifest.to_json())


def _patch(file: ReleaseFile, old: Path, directory: Path, made: Path) -> None:
    patch = directory / (file.path + PATCH_SUFFIX)
    if not (old / file.path).is_file():
        raise DataLossError(f"{patch} changes a file that its base has not")
    sha256 = apply_patch(old / file.path, patch, made, file.size_bytes)
    if sha256 != file.sha256:
        raise DataLossError(
            f"{patch} makes SHA-256 {sha256[:16]}..., must be {file.sha256[:16]}..."
        )


def _link_or_copy(source: Path, made: Path) -> None:
    try:
        os.link(source, made, follow_symlinks=False)
    except OSError:
        # Another file system, or one whose owner keeps others from linking.
        shutil.copyfile(source, made, follow_symlinks=False)


def _forget_gone(cache: Path, registry: Path) -> None:
    """Removes what was made of releases that are gone, or was never finished."""
    for entry in cache.iterdir():
        release_id = entry.name.partition("-")[0]
        known = serial_of(release_id) is not None
        gone = known and not (registry / release_id).is_dir()
        if entry.is_dir() and (gone or entry.suffix == _STAGING_SUFFIX):
            shutil.rmtree(entry)
