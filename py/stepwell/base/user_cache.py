"""Where this user's processes keep what they can make again."""

import os
import stat
import tempfile
from pathlib import Path


def user_cache() -> Path:
    """Returns the folder of Stepwell in the user's cache, made or not.

    Users without a home, as containers have, get one in the folder of temporary files.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    if home:
        return Path(home) / "stepwell"
    try:
        return Path.home() / ".cache" / "stepwell"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"stepwell-{os.getuid()}"


def is_ours_alone(folder: Path) -> bool:
    """True when a folder is there, is this user's, and nobody else can write in it.

    What lies in another one may be somebody else's word.
    """
    try:
        found = folder.lstat()
    except OSError:
        return False
    closed = not stat.S_IMODE(found.st_mode) & 0o022
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and closed
