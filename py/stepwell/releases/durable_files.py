"""Making files and names durable: what was renamed is whole after a power cut."""

import os
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
    """Writes a file that is seen whole or not at all, and syncs it and its name."""
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_folder(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
