"""A server of py/bin as a real process: start, ports, signals, end."""

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stepwell.base.errors import UnavailableError

_ROOT = Path(__file__).parents[1]
_READY_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that said it is ready; `process` may be signalled by a test."""

    process: "subprocess.Popen[bytes]"
    port: int
    metrics_port: int

    @property
    def address(self) -> str:
        """Where it listens for gRPC."""
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.process.kill()
        self.process.wait(timeout=30)

    def terminate(self) -> int:
        """SIGTERM; returns the exit status once it has drained."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextmanager
def server_process(
    program: str, arguments: Sequence[str], stderr: int | None = None
) -> Iterator[ServerProcess]:
    """Runs py/bin/<program>.py until it prints its ports; killed at the end.

    Args:
        stderr: a descriptor for what it logs; None is this process's.
    """
    process = start(program, arguments, stderr)
    try:
        ports = json.loads(first_line(process, program, _READY_WAIT_S))
        yield ServerProcess(process, ports["port"], ports["metrics_port"])
    finally:
        process.kill()
        process.wait(timeout=30)
        assert process.stdout is not None
        process.stdout.close()


def start(
    program: str, arguments: Sequence[str], stderr: int | None = subprocess.PIPE
) -> "subprocess.Popen[bytes]":
    """Starts py/bin/<program>.py with this process's import path."""
    script = _ROOT / "py" / "bin" / f"{program}.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment,
    )


def first_line(
    process: "subprocess.Popen[bytes]", program: str, wait_s: float
) -> bytes:
    """Returns the line by which a server says that it is ready.

    Raises:
        UnavailableError: it ended or said nothing in time; names the program.
    """
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(wait_s):
            raise UnavailableError(f"{program} was not ready after {wait_s:g} s")
    line = process.stdout.readline()
    if not line:
        status = process.wait(timeout=30)
        raise UnavailableError(f"{program} ended with {status}; see its error above")
    return line
