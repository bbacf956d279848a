"""Making files and names durable: what was renamed is whole after a power cut."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def sync_tree(directory: Path) -> None:
    """Syncs every file and folder below `directory`, and itself, to disk."""
    for folder, _, names in os.walk(directory):
        for name in names:
            _sync(Path(folder) / name)
        sync_folder(Path(folder))


def sync_folder(folder: Path) -> None:
    """Syncs a folder's entries: names made, renamed or removed in it."""
    _sync(folder)


def write_durably(path: Path, content: bytes) -> None:
    """Writes a file that is seen whole or not at all, and syncs it and its name.

    Concurrency: any thread or process; of two writers at once the last one stays.
    """
    with _written_beside(path, content, 0o666) as temporary:
        temporary.rename(path)


def create_durably(path: Path, content: bytes, mode: int) -> None:
    """As write_durably, but whatever is there already stays.

    Args:
        mode: of the new file, before the process's mask.
    """
    written = _written_beside(path, content, mode)
    with written as temporary, suppress(FileExistsError):
        # Unlike a rename, a link never replaces what another call made.
        os.link(temporary, path)


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it where they are missing, and syncs their names.

    Concurrency: any thread or process.
    """
    missing = [one for one in (folder, *folder.parents) if not one.is_dir()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)


@contextmanager
def _written_beside(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """A file on disk to be given its name; the name is synced, and no other stays."""
    # A name of its own, also where several machines write into one folder.
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
