"""Is this directory the release it claims to be? Asked before any of it is parsed."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
)
from stepwell.releases.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    Manifest,
    ReleaseFile,
    parse_manifest,
    release_id_of,
)
from stepwell.releases.regular_file import open_regular
from stepwell.releases.signing import VerifyingKey
from stepwell.schema.feature_registry import EARLIER_SERVICES, RANKER_SERVICE

_HASH_THREADS = 2


def verify_release(directory: Path, key: VerifyingKey) -> Manifest:
    """Returns the manifest of a release that is whole and ours.

    Checked after what verified_manifest checks, in this order: the list of files, every
    size, every digest. Of a delta either what it stores may lie there, or all it makes.

    Raises:
        StepwellError: as verified_manifest.
        DataLossError: names the file and what is wrong with it.
    Cost: one read of every file; about 1 s a GB and thread, hashing outside the GIL.
    """
    manifest = verified_manifest(directory, key)
    check_files(directory, listed_files(directory, manifest))
    return manifest


def verified_manifest(directory: Path, key: VerifyingKey) -> Manifest:
    """Returns the manifest of a release that is ours and fits this version.

    Checked in this order: its form, its signature, its name, the features it is served
    with, every embedding space. Of the files it lists none is looked at.

    Raises:
        NotFoundError: there is none.
        FailedPreconditionError: it is of another definition of the features than this
            version reads and writes.
        DataLossError: says what is wrong with it.
    Cost: one read of a small file.
    """
    manifest = parse_manifest(read_manifest(directory))
    key.verify(manifest.signed_bytes(), bytes.fromhex(manifest.signature))
    _check_name(directory, manifest)
    check_feature_service(manifest)
    check_embedding_spaces(manifest)
    return manifest


def listed_files(directory: Path, manifest: Manifest) -> tuple[ReleaseFile, ...]:
    """Returns the files that must lie there: a delta's own, or all of a complete one.

    Raises:
        DataLossError: one is missing, or something else lies there.
    """
    present = set(release_paths(directory))
    complete = present == {file.path for file in manifest.files}
    files = manifest.files if complete else manifest.stored_files
    listed = {file.path for file in files}
    if missing := listed - present:
        raise DataLossError(f"{directory}: {min(missing)} is missing")
    if foreign := present - listed:
        raise DataLossError(f"{directory}: {min(foreign)} is not in the manifest")
    return files


def check_files(directory: Path, files: Iterable[ReleaseFile]) -> None:
    """Raises DataLossError, which names the file, when one is not what is said of it.

    Cost: one read of every file; about 1 s a GB and thread, hashing outside the GIL.
    """
    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        # Largest first, so that one big file does not run alone at the end.
        largest_first = sorted(files, key=lambda file: -file.size_bytes)
        for _ in pool.map(lambda file: _check_file(directory, file), largest_first):
            pass


def describe_file(directory: Path, path: str) -> ReleaseFile:
    """Returns size and digest of a regular file of a release."""
    with open_regular(directory / path) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ReleaseFile(path=path, size_bytes=size, sha256=digest)


def release_paths(directory: Path) -> Iterator[str]:
    """Yields the paths of all that lies in a release but the manifest, sorted.

    Raises:
        DataLossError: something is neither a regular file nor a folder.
    """
    for entry in sorted(directory.rglob("*")):
        mode = entry.lstat().st_mode
        relative = entry.relative_to(directory).as_posix()
        if stat.S_ISDIR(mode) or relative == MANIFEST_NAME:
            continue
        if not stat.S_ISREG(mode):
            raise DataLossError(f"{entry} is not a regular file")
        yield relative


def read_manifest(directory: Path) -> bytes:
    """Returns the manifest's bytes, one more than it may have at most.

    Raises:
        NotFoundError: there is none.
    """
    try:
        with open_regular(directory / MANIFEST_NAME) as file:
            return file.read(MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"{directory} has no {MANIFEST_NAME}") from error


def _check_name(directory: Path, manifest: Manifest) -> None:
    names = {directory.name, manifest.release_id, release_id_of(manifest.serial)}
    if len(names) != 1:
        raise DataLossError(f"one release has several names: {sorted(names)}")


def check_feature_service(manifest: Manifest) -> None:
    """Refuses a release whose stored rows this version would not understand.

    Raises:
        FailedPreconditionError: names both hashes and what mends it.
    """
    expected = RANKER_SERVICE.schema_hash()
    actual = manifest.feature_service_hash
    if actual in {expected, *(earlier.schema_hash() for earlier in EARLIER_SERVICES)}:
        return
    named = "none, as older versions did" if actual is None else actual[:16]
    raise FailedPreconditionError(
        f"{manifest.release_id} names feature service {named}; this version has "
        f"{expected[:16]}: publish again (./stepwell publish), after training again "
        "where the features that models take have changed"
    )


def check_embedding_spaces(manifest: Manifest) -> None:
    """Raises DataLossError when a file is of another space than its release."""
    expected = manifest.metadata.embedding_space_hash
    listed = {file.path for file in manifest.files}
    for path, space in manifest.metadata.embedding_spaces.items():
        if path not in listed:
            raise DataLossError(f"an embedding space names {path}, which is missing")
        if space != expected:
            raise DataLossError(
                f"{path} is of embedding space {space[:16]}, "
                f"the release of {expected[:16]}"
            )


def _check_file(directory: Path, expected: ReleaseFile) -> None:
    path = directory / expected.path
    # The size first: a wrong one needs no hashing, whatever it claims.
    size = path.lstat().st_size
    if size != expected.size_bytes:
        raise DataLossError(f"{path} has {size} bytes, must be {expected.size_bytes}")
    actual = describe_file(directory, expected.path)
    if actual != expected:
        raise DataLossError(
            f"{path} has SHA-256 {actual.sha256[:16]}..., "
            f"must be {expected.sha256[:16]}..."
        )
