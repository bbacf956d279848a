"""Whose turn it is among processes that could all do the same work."""

import fcntl
import os
from pathlib import Path
from typing import Protocol


class Turn(Protocol):
    """A right that one holder has at a time. Concurrency: one thread a process."""

    def try_take(self) -> bool:
        """Takes the turn; False, at once, when another process has it."""
        ...

    def give_up(self) -> None:
        """Lets the next one have it."""
        ...


class FileTurn:
    """A turn by lock of a file; the kernel gives it up for a process that dies.

    Cost: about 3 us to take and give up.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file, making it where it is missing."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._file = os.fdopen(os.open(path, flags, 0o600), "rb", buffering=0)

    def try_take(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def give_up(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)


class _NoOthers:
    """The turn of a process that is alone."""

    def try_take(self) -> bool:
        return True

    def give_up(self) -> None:
        """Nobody waits."""


NO_OTHERS: Turn = _NoOthers()
