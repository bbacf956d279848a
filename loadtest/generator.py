"""Open-loop load from a process of its own.

The generator's interpreter is nobody else's: a test or a bench that works meanwhile
makes no call late.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from generator_files import RUN_FILE, write_work
from lanes import Lane
from load_run import LoadRun
from open_loop import Schedule
from stepwell.base.errors import UnavailableError

if TYPE_CHECKING:
    # The build takes dependencies from imports: the child is started from its file and
    # imports by this process's path.
    import generator_main  # noqa: F401

DEFAULT_CONNECTIONS = 64

_SCRIPT = Path(__file__).with_name("generator_main.py")
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class At:
    """Something that happens during a run.

    Attributes:
        due_s: seconds from the run's start.
        act: called in this process, one after the other.
    """

    due_s: float
    act: Callable[[], object]


class RunningLoad:
    """A generator at work. Concurrency: one thread."""

    def __init__(
        self,
        child: "subprocess.Popen[str]",
        folder: "tempfile.TemporaryDirectory[str]",
        seconds: float,
    ) -> None:
        self._child = child
        self._folder = folder
        self._seconds = seconds
        line = self._child.stdout.readline() if self._child.stdout else ""
        if not line:
            self.close()
            raise UnavailableError(f"the generator ended: {self._said()}")
        self.started_s: float = json.loads(line)["started_s"]
        """time.perf_counter() from which the schedule counts; a little ahead."""

    def wait(self) -> LoadRun:
        """Waits for the last answer and returns the run.

        Raises:
            UnavailableError: the generator failed; says what it said.
        """
        try:
            # Reading the answers takes some 10 us each, once the run is over.
            status = self._child.wait(3 * self._seconds + _PATIENCE_SECONDS)
            if status:
                raise UnavailableError(f"the generator ended: {self._said()}")
            return LoadRun.load(Path(self._folder.name, RUN_FILE))
        finally:
            self.close()

    def close(self) -> None:
        """Ends the generator and removes its files; a second call does nothing."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._error = self._said()
        self._folder.cleanup()

    def _said(self) -> str:
        path = Path(self._folder.name, "stderr")
        if not path.exists():
            return self._error
        lines = path.read_text(errors="replace").splitlines()
        return " | ".join(lines[-3:]) or "it said nothing"

    def __enter__(self) -> "RunningLoad":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def start(
    address: str,
    schedule: Schedule,
    lanes: Sequence[Lane],
    *,
    connections: int = DEFAULT_CONNECTIONS,
) -> RunningLoad:
    """Starts a generator and returns once it is connected and about to begin.

    Args:
        address: host:port of a gRPC server without TLS.
        schedule: when calls leave and of which lane.
        lanes: kinds of calls by number.
        connections: opened at once; calls take them in turn.
    Raises:
        UnavailableError: nobody answers at the address.
    """
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name)
    write_work(path, schedule, lanes)
    with (path / "stderr").open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, str(_SCRIPT), address, str(connections), str(path)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    return RunningLoad(child, folder, schedule.seconds)


def generate(
    address: str,
    schedule: Schedule,
    lanes: Sequence[Lane],
    *,
    connections: int = DEFAULT_CONNECTIONS,
    events: Sequence[At] = (),
) -> LoadRun:
    """Makes the calls of a schedule from a child process and returns what came of them.

    Args:
        address, schedule, lanes, connections: as in `start`.
        events: what happens meanwhile, by this process, as faults do.
    Raises:
        UnavailableError: nobody answers at the address, or the generator failed.
    Cost: some 30 us of one core a call (`generator_cpu_share` says how much it was).
    """
    with start(address, schedule, lanes, connections=connections) as load:
        stop = threading.Event()
        for event in sorted(events, key=lambda one: one.due_s):
            stop.wait(max(load.started_s + event.due_s - time.perf_counter(), 0.0))
            event.act()
        return load.wait()
