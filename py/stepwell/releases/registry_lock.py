"""Who changes a registry: one at a time, on one machine or on a shared mount."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_NAME = ".publish.lock"


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
