"""What benchmark `serving` measures: our ranker and its peer, pinned to one core."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from project_state import ProjectState
from ranker_process import RankerProcess
from stepwell.base.errors import NotFoundError, UnavailableError
from stepwell.feedback.user_state_file import USER_STATE_NAME, UserStateFile
from stepwell.feedback.user_state_import import import_user_state
from stepwell.releases.source import DirectorySource
from stepwell.stores.locations import open_key_value_store

_PEER_MODULE = "bench.serving_peer"
_PEER_WAIT_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Cores:
    """Which processor runs what; the same one for both when there is but one."""

    server: int
    client: int

    @classmethod
    def available(cls) -> "Cores":
        """Returns the first and the last core that this process may use."""
        cores = sorted(os.sched_getaffinity(0))
        return cls(server=cores[0], client=cores[-1])


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """This thread, and what it starts, runs on one core inside the block."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class ServedRelease:
    """The newest release of a data set and the users' state beside it."""

    data: str
    registry: Path
    release: Path
    user_state: Path

    @classmethod
    def newest(cls, state: ProjectState) -> "ServedRelease":
        """Returns what the demo left.

        Raises:
            NotFoundError: nothing was published yet; names the command that does.
        """
        versions = DirectorySource(state.registry).versions()
        user_state = state.training / USER_STATE_NAME
        if not versions or not user_state.exists():
            raise NotFoundError(
                f"there is no release of {state.data} with its users' state in "
                f"{state.folder}; run: ./stepwell demo --data {state.data} --exit"
            )
        return cls(state.data, state.registry, versions[-1].directory, user_state)


class RankerUnderTest:
    """Our ranker over a store and a log of its own, on the server's core.

    Args:
        served: what it serves; nothing of it is changed.
        scratch: folder for the store, the log and what the ranker says.
        core: where it runs.
        flags: more flags of ranker_main.

    Concurrency: one thread.
    """

    def __init__(
        self,
        served: ServedRelease,
        scratch: Path,
        core: int,
        flags: tuple[str, ...] = (),
    ) -> None:
        self._flags = (f"--registry={served.registry}", *flags)
        self._state = ProjectState(scratch, served.data)
        self._core = core
        self._state.folder.mkdir(parents=True)
        store = open_key_value_store(str(self._state.online_store))
        try:
            import_user_state(UserStateFile.load(served.user_state), store)
        finally:
            store.close()
        self._ranker = self._started()

    @property
    def address(self) -> str:
        """host:port of callers."""
        return self._ranker.address

    @property
    def pid(self) -> int:
        """Of the process that serves now."""
        return self._ranker.server.pid

    def restart_after_kill(self) -> float:
        """Kills it with SIGKILL; returns the seconds from the new start to SERVING."""
        os.kill(self.pid, signal.SIGKILL)
        self._ranker.stop()
        started = time.monotonic()
        self._ranker = self._started()
        return time.monotonic() - started

    def close(self) -> None:
        """Drains it."""
        self._ranker.stop()

    def _started(self) -> RankerProcess:
        with pinned(self._core):
            return RankerProcess.start(self._state, flags=self._flags)


@dataclass(frozen=True, slots=True)
class Peer:
    """The glued stack while it serves."""

    address: str
    pid: int
    num_parameters: int


@contextmanager
def running_peer(served: ServedRelease, scratch: Path, core: int) -> Iterator[Peer]:
    """The glued stack on the server's core; see serving_peer.

    Raises:
        UnavailableError: it ended or did not serve in time.
    """
    scratch.mkdir()
    paths = {
        "release": served.release,
        "user_state": served.user_state,
        "scratch": scratch,
    }
    with pinned(core):
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", _PEER_MODULE),
                *(f"--{name}={path.resolve()}" for name, path in paths.items()),
            ],
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "OMP_NUM_THREADS": "1",
            },
        )
    try:
        ready = json.loads(_first_line(process))
        address = f"127.0.0.1:{ready['port']}"
        yield Peer(address, process.pid, ready["num_parameters"])
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def cpu_seconds(pid: int) -> float:
    """Returns the processor time that a process has used, all threads."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _first_line(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.select(_PEER_WAIT_SECONDS)
        line = process.stdout.readline() if selector.select(0) else b""
    if not line:
        raise UnavailableError(f"{_PEER_MODULE} did not serve; see its error above")
    return line
