"""A real redis-server for tests: free port, own folder, gone at the end."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

_START_ATTEMPTS = 5
_READY_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server; `process` may be killed or stopped by a test."""

    url: str
    port: int
    folder: Path
    process: "subprocess.Popen[bytes]"


@contextmanager
def redis_server(
    folder: Path, arguments: Sequence[str] = (), port: int = 0
) -> Iterator[RedisServer]:
    """Runs redis-server on loopback with every acknowledged write on disk.

    Args:
        folder: where it keeps its files; a second run there finds the data again.
        arguments: further options, such as ("--maxmemory", "2mb").
        port: where it listens; 0 takes a free one.
    """
    server = _start(folder, arguments, port)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait(timeout=10)


def _start(folder: Path, arguments: Sequence[str], wanted_port: int) -> RedisServer:
    executable = shutil.which("redis-server")
    if executable is None:
        raise RuntimeError("redis-server is missing; apt-get install redis-server")
    folder.mkdir(parents=True, exist_ok=True)
    # The port is free when chosen and may be taken when used: then another one.
    for _ in range(_START_ATTEMPTS):
        port = wanted_port or free_port()
        process = subprocess.Popen(
            [
                executable,
                *("--port", str(port), "--bind", "127.0.0.1", "--save", ""),
                *("--dir", str(folder), "--appendonly", "yes"),
                *("--appendfsync", "always", *arguments),
            ],
            stdout=subprocess.DEVNULL,
        )
        if _ready(port, process):
            return RedisServer(f"redis://127.0.0.1:{port}/0", port, folder, process)
        process.kill()
        process.wait(timeout=10)
    raise RuntimeError(f"redis-server did not start in {folder}")


def _ready(port: int, process: "subprocess.Popen[bytes]") -> bool:
    client = redis.Redis(port=port, socket_timeout=1)
    pause = threading.Event()
    for _ in range(int(_READY_WAIT_S / 0.02)):
        if process.poll() is not None:
            return False
        try:
            if client.ping():
                client.close()
                return True
        except (redis.ConnectionError, redis.TimeoutError):
            pause.wait(0.02)
    return False


def free_port() -> int:
    """Returns a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
