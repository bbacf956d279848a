"""Starts ranker_main on this machine and looks after it."""

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from project_state import (
    ProjectState,
    RunningServer,
    announce_server,
    withdraw_server,
)
from stepwell.base.errors import UnavailableError

if TYPE_CHECKING:
    # The build takes dependencies from imports: the child is started from its file and
    # imports by this process's path.
    import ranker_main  # noqa: F401

_SCRIPT = Path(__file__).with_name("ranker_main.py")
_PATIENCE_SECONDS = 60.0
_DRAIN_SECONDS = 15.0
_LOG_TAIL_LINES = 5
_MAX_LOG_BYTES = 16 << 20


class RankerProcess:
    """A ranker that serves one data set's newest release, in a process of its own.

    While it runs, server.json names it, so that the other commands find it.

    Concurrency: one thread.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", server: RunningServer, root: Path
    ) -> None:
        self._process = process
        self._server = server
        self._root = root

    @classmethod
    def start(
        cls,
        state: ProjectState,
        port: int = 0,
        flags: Sequence[str] = (),
        script: Path | None = None,
    ) -> "RankerProcess":
        """Starts a ranker and returns once health says SERVING.

        Args:
            state: whose release, online store and event log it serves.
            port: for callers; 0 takes a free one.
            flags: more flags of ranker_main; a later one wins.
            script: in the place of ranker_main, whose flags it takes.
        Raises:
            UnavailableError: it ended or did not serve in time; says what it said last.
        """
        arguments = [
            f"--registry={state.registry}",
            f"--store={state.online_store}",
            f"--event_log={state.event_log}",
            f"--port={port}",
            # The data is historical: features want the time at which it ends.
            "--event_clock=release",
            # However this process ends, the ranker drains then.
            f"--parent_pid={os.getpid()}",
            *flags,
        ]
        with _opened_log(state.server_log) as log:
            log_start = log.tell()
            process = subprocess.Popen(
                [sys.executable, str(script or _SCRIPT), *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        server = _awaited(process, state, log_start)
        announce_server(state.root, server)
        return cls(process, server, state.root)

    @property
    def address(self) -> str:
        """host:port of callers."""
        return self._server.address

    @property
    def server(self) -> RunningServer:
        """What server.json says."""
        return self._server

    def wait(self) -> int:
        """Waits for its end; Ctrl-C drains it. Returns its exit status."""
        try:
            return self._process.wait()
        except KeyboardInterrupt:
            return self.stop()

    def stop(self) -> int:
        """Drains it and returns its exit status; a second call does nothing more."""
        withdraw_server(self._root, self._process.pid)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def __enter__(self) -> "RankerProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _opened_log(path: Path) -> IO[bytes]:
    """Opens the log behind what servers said before, some of which may still run.

    A long one is put aside first; who writes to it goes on doing so there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")


def _awaited(
    process: "subprocess.Popen[bytes]", state: ProjectState, log_start: int
) -> RunningServer:
    assert process.stdout is not None
    line = _line_within(process.stdout, _PATIENCE_SECONDS)
    if not line:
        process.kill()
        process.wait()
        with state.server_log.open("rb") as log:
            log.seek(log_start)
            said = log.read().decode(errors="replace").splitlines()
        last = " | ".join(said[-_LOG_TAIL_LINES:]) or "nothing"
        raise UnavailableError(
            f"the ranker does not serve; {state.server_log} ends with: {last}"
        )
    ready = json.loads(line)
    return RunningServer(
        address=f"127.0.0.1:{ready['port']}",
        metrics_address=f"127.0.0.1:{ready['metrics_port']}",
        pid=process.pid,
        data=state.data,
        admin_address=ready["admin_address"],
    )


def _line_within(stream: IO[bytes], seconds: float) -> bytes:
    """Returns the first line, b"" at the stream's end or when time is up."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return stream.readline() if selector.select(seconds) else b""
