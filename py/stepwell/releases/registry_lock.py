"""Who changes a registry: one at a time, on one machine or on a shared mount."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_NAME = ".publish.lock"
STAGING_SUFFIX = ".tmp"
"""Of whatever is not whole yet, and of what goes."""


@contextmanager
def registry_lock(registry: Path, name: str = LOCK_NAME) -> Iterator[None]:
    """Waits for the registry's lock, or another one of it, and holds it.

    Not re-entrant.

    The kernel gives it back when the process dies. Readers need no lock: whatever
    changes in a registry changes by one rename.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(registry / name, flags, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def leftovers(registry: Path) -> list[Path]:
    """Returns what has no name yet, or none any more; without the lock, of others."""
    return list(registry.glob(f"*{STAGING_SUFFIX}"))


def remove_leftovers(registry: Path) -> None:
    """Clears what a process left that died; under the lock nobody else owns it."""
    for entry in leftovers(registry):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
