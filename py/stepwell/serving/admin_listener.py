"""Where the operator's door is: a Unix socket that only its owner opens, or a port."""

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

import grpc

from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.serving.grpc_listener import bound

_MAX_PATH_BYTES = 107
"""What the kernel takes of a Unix socket's path."""
_OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True)
class Door:
    """Where AdminService listens.

    Attributes:
        socket: path of a Unix socket; None for none.
        port: on loopback, 0 takes a free one; None for none.
    """

    socket: Path | None = None
    port: int | None = 0


class AdminListener:
    """A door of a gRPC server that does not listen yet.

    Who may open the socket is the kernel's to say: its mode is 0600, also in the
    moment in which it is made. A server that starts takes the path over from one that
    runs, and that one leaves it alone when it ends.

    Raises:
        InvalidArgumentError: the path is too long for a socket, or the port is none.
        UnavailableError: the socket cannot be made there, or the port is taken.
    """

    def __init__(self, server: "grpc.aio.Server", door: Door) -> None:
        self._socket = None if door.socket is None else door.socket.absolute()
        self._inode = 0
        self.port = 0
        if self._socket is not None:
            self._inode = _bound_socket(server, self._socket)
        if door.port is not None:
            self.port = bound(server, "127.0.0.1", door.port)

    @property
    def address(self) -> str:
        """What a client connects to: the socket, else the port; "" where both lack."""
        if self._socket is not None:
            return f"unix:{self._socket}"
        return f"127.0.0.1:{self.port}" if self.port else ""

    def close(self) -> None:
        """Removes the socket's name, when it still is this listener's."""
        if self._socket is None:
            return
        try:
            if self._socket.lstat().st_ino == self._inode:
                self._socket.unlink()
        except FileNotFoundError:
            return


def _bound_socket(server: "grpc.aio.Server", path: Path) -> int:
    """Lets the server listen at `path`; returns the socket's inode."""
    if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
        raise UnavailableError(f"{path} is there and is no socket")
    try:
        # Made where nobody else may look, and moved once its mode is right.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            made = Path(folder) / "s"
            _check_length(max(made, path, key=lambda one: len(os.fsencode(one))))
            server.add_insecure_port(f"unix:{made}")
            made.chmod(_OWNER_ONLY)
            made.rename(path)
    except (OSError, RuntimeError) as error:
        raise UnavailableError(f"cannot listen on {path}: {error}") from error
    return path.lstat().st_ino


def _check_length(path: Path) -> None:
    size = len(os.fsencode(path))
    if size > _MAX_PATH_BYTES:
        raise InvalidArgumentError(
            f"{path} has {size} bytes, a socket's path may have {_MAX_PATH_BYTES}",
            "admin_socket",
        )
