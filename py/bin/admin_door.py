"""Where the operator's door is: by the flags, else a socket of this process."""

import os
import secrets
import socket
import stat
import tempfile
from pathlib import Path

import worker_flags
from stepwell.base.errors import PermissionDeniedError
from stepwell.serving.admin_listener import Door


def admin_door() -> Door:
    """Returns the door that the flags ask for.

    Raises:
        PermissionDeniedError: the folder of sockets is somebody else's.
    """
    said, port = worker_flags.ADMIN_SOCKET.value, worker_flags.ADMIN_PORT.value
    path = Path(said) if said else None
    if said == worker_flags.AUTO:
        path = new_socket(runtime_folder())
    return Door(path, port if port >= 0 else None)


def new_socket(folder: Path) -> Path:
    """Returns a path that no other process takes.

    The process's number alone would not do: containers that share the folder count
    their processes each from 1, and who starts takes a path over.
    """
    return folder / f"admin-{os.getpid()}-{secrets.token_hex(4)}.sock"


def runtime_folder(base: Path | None = None) -> Path:
    """Returns a folder that only this user may enter, made when missing.

    Sockets of processes that died are removed from it.

    Args:
        base: in which it lies; None takes the session's, else the machine's folder of
            temporary files.
    Raises:
        PermissionDeniedError: somebody else made it, or others may enter it.
    """
    if base is None:
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = base / f"stepwell-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not is_ours or found.st_mode & 0o077:
        raise PermissionDeniedError(
            f"{folder} must be a folder of this user alone, mode 0700; "
            "or give --admin_socket another path"
        )
    for path in folder.glob("admin-*.sock"):
        if not _answers(path):
            path.unlink(missing_ok=True)
    return folder


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True
