"""Which releases were read and found good on this machine a moment ago.

Several servers of one machine load the same release. The first one reads every byte;
the others may take its word, for a short time, and only while every file is the very
one that was read: same inode, size and times.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from stepwell.base.user_cache import is_ours_alone
from stepwell.releases.durable_files import write_durably
from stepwell.releases.manifest import MANIFEST_NAME
from stepwell.releases.verification import release_paths

MAX_AGE_SECONDS = 600.0


def identity_of(directory: Path, *, links: bool = True) -> str:
    """Returns what names these very files: any write, rename or copy changes it.

    Without `links` it stays when a file gets another name elsewhere, as completing a
    delta does; and when somebody writes a file and sets its time back.

    A change of the content that no system call made, as a disk's own, does not; that is
    why a record ages.

    Raises:
        DataLossError, OSError: something in it is no file, or cannot be looked at.
    """
    seen: list[object] = [str(directory.resolve())]
    for path in (MANIFEST_NAME, *release_paths(directory)):
        found = (directory / path).lstat()
        times = (found.st_mtime_ns, found.st_ctime_ns if links else 0)
        seen.append((path, found.st_dev, found.st_ino, found.st_size, *times))
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


class VerifiedRecords:
    """Records in a folder that only this user can write.

    Args:
        folder: made when missing.
        wall_seconds: the time of day.

    Concurrency: several processes.
    """

    def __init__(
        self, folder: Path, wall_seconds: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._wall_seconds = wall_seconds

    def add(self, identity: str) -> None:
        """Notes that these files were verified; OSError where it cannot be written."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._forget_old()
        write_durably(self._folder / identity, b"")

    def has(self, identity: str) -> bool:
        """True when these very files were verified lately, by this user."""
        if not is_ours_alone(self._folder):
            return False
        try:
            found = (self._folder / identity).lstat()
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and self._is_new(found)

    def _is_new(self, found: os.stat_result) -> bool:
        return 0 <= self._wall_seconds() - found.st_mtime <= MAX_AGE_SECONDS

    def _forget_old(self) -> None:
        for path in self._folder.iterdir():
            if not self._is_new(path.lstat()):
                path.unlink(missing_ok=True)
