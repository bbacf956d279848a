"""A release as one tar file: out of one registry, into another.

The form is USTAR without compression: a header of 512 bytes names each file, the
manifest is the first. Reading trusts nothing: no name, type or size is acted upon that
the signed manifest does not say too.
"""

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from stepwell.base.errors import (
    AlreadyExistsError,
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
)
from stepwell.releases.delta import DeltaCache
from stepwell.releases.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    Manifest,
    parse_manifest,
    release_id_of,
    serial_of,
)
from stepwell.releases.signing import VerifyingKey
from stepwell.releases.source import DirectorySource
from stepwell.releases.verification import verify_release

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20
_MODE = 0o644


def completed(
    registry: Path, serial: int, key: VerifyingKey, cache: Path
) -> tuple[Path, Manifest]:
    """Returns the folder of all files of a release, every digest of it checked.

    Args:
        cache: where deltas are made complete, and stay.
    Raises:
        NotFoundError: the registry has no such release.
        StepwellError: it is damaged, not ours, or lacks what it stands on.
    """
    directory = registry / release_id_of(serial)
    if not directory.is_dir():
        there = [one.directory.name for one in DirectorySource(registry).versions()]
        raise NotFoundError(
            f"no release {directory.name} in {registry}, only {', '.join(there)}"
        )
    manifest = verify_release(directory, key)
    return DeltaCache(cache).complete(directory, manifest), manifest


@contextmanager
def complete_release(
    registry: Path, serial: int, key: VerifyingKey
) -> Iterator[tuple[Path, Manifest]]:
    """As `completed`; a delta's files are made for the while, among temporary ones."""
    with TemporaryDirectory(prefix="stepwell-") as made:
        yield completed(registry, serial, key, Path(made))


def write_archive(directory: Path, manifest: Manifest, path: Path) -> None:
    """Writes a complete release as one tar file; seen whole or not at all.

    The same release gives the same bytes.

    Raises:
        AlreadyExistsError: `path` is there.
        InvalidArgumentError: a name is too long for the form.
    """
    if path.exists():
        raise AlreadyExistsError(f"{path} is there already")
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as target:
            for name in (MANIFEST_NAME, *(file.path for file in manifest.files)):
                _append(target, directory / name, manifest, name)
            target.write(bytes(2 * _BLOCK))
            target.flush()
            os.fsync(target.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_archive(path: Path, key: VerifyingKey, folder: Path) -> Path:
    """Unpacks and verifies a release; returns its directory below `folder`.

    Args:
        key: who must have signed it.
        folder: takes the files; what is in it after an error is the caller's to clear.
    Raises:
        DataLossError: it is no such archive, of another key, or damaged; names what.
    Cost: one read and write of every byte, and the digests. Memory is bounded.
    """
    with path.open("rb") as source:
        name, size = _header(source)
        release_id, _, file = name.partition("/")
        if file != MANIFEST_NAME or serial_of(release_id) is None:
            raise DataLossError(f"{path} begins with {name!r}, not with a manifest")
        if not 0 < size <= MAX_MANIFEST_BYTES:
            raise DataLossError(f"{path}: the manifest has {size} bytes")
        content = _content(source, size)
        manifest = parse_manifest(content)
        key.verify(manifest.signed_bytes(), bytes.fromhex(manifest.signature))
        directory = folder / release_id
        directory.mkdir()
        (directory / MANIFEST_NAME).write_bytes(content)
        for expected in manifest.files:
            name, size = _header(source)
            if name != f"{release_id}/{expected.path}" or size != expected.size_bytes:
                raise DataLossError(
                    f"{path}: {name!r} of {size} bytes is where the manifest has "
                    f"{expected.path} of {expected.size_bytes}"
                )
            _unpack(source, size, directory / expected.path)
        if source.read(_BLOCK).strip(b"\0"):
            raise DataLossError(f"{path} goes on after the last file of its manifest")
    verify_release(directory, key)
    return directory


def _append(target: IO[bytes], path: Path, manifest: Manifest, name: str) -> None:
    info = tarfile.TarInfo(f"{manifest.release_id}/{name}")
    info.size, info.mode = path.stat().st_size, _MODE
    info.mtime = manifest.created_time_seconds
    try:
        target.write(info.tobuf(tarfile.USTAR_FORMAT, "ascii"))
    except ValueError as error:
        raise InvalidArgumentError(f"{name}: {error}", "name") from error
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            target.write(chunk)
    target.write(bytes(-info.size % _BLOCK))


def _header(source: IO[bytes]) -> tuple[str, int]:
    """Returns name and size of the next file; nothing else may stand there."""
    block = source.read(_BLOCK)
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise DataLossError(f"no header of a tar file: {error}") from error
    # A link, a device, or a header that changes what the next one says.
    if info.type != tarfile.REGTYPE or info.size < 0:
        raise DataLossError(f"{info.name!r} is no regular file")
    return info.name, info.size


def _content(source: IO[bytes], size: int) -> bytes:
    content = source.read(size)
    if len(content) != size:
        raise DataLossError("the archive ends within a file")
    source.read(-size % _BLOCK)
    return content


def _unpack(source: IO[bytes], size: int, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    left = size
    with path.open("xb") as target:
        while left:
            chunk = source.read(min(left, _CHUNK))
            if not chunk:
                raise DataLossError("the archive ends within a file")
            target.write(chunk)
            left -= len(chunk)
    source.read(-size % _BLOCK)
