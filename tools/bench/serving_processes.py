"""What the serving benchmarks measure: our ranker and its rivals, as processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis

from bench.serving_peer_files import PeerFiles, peer_users
from bench.serving_release import BenchRelease
from project_state import ProjectState
from ranker_process import RankerProcess
from server_process import first_line
from stepwell.base.errors import NotFoundError
from stepwell.feedback.user_state_file import USER_STATE_NAME, UserStateFile
from stepwell.feedback.user_state_import import import_user_state
from stepwell.releases.source import DirectorySource
from stepwell.stores.locations import open_key_value_store

_PEER_MODULE = "bench.serving_peer"
_PEER_WAIT_SECONDS = 180.0
_STORE_TIMEOUT_MS = 10_000

Config = Mapping[str, Any]


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
    """A release of a registry and the users' state beside it."""

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

    @classmethod
    def generated(cls, made: BenchRelease) -> "ServedRelease":
        """Returns the generated release."""
        return cls(made.state.data, made.state.registry, made.release, made.user_state)

    def user_ids(self) -> list[str]:
        """Returns every user with a history, sorted."""
        state = UserStateFile.load(self.user_state)
        return sorted(user for batch in state.batches(1_000) for user in batch)


class RankerUnderTest:
    """Our ranker over a store and a log of its own.

    Args:
        served: what it serves; nothing of it is changed.
        scratch: folder for the store, the log and what the ranker says; made here.
        config: of the file that --config names.
        flags: more flags of ranker_main.
        store: online store; None is a folder in `scratch`.

    Concurrency: one thread.
    """

    script: Path | None = None
    """What runs in the place of ranker_main, for a class of such rankers."""

    def __init__(
        self,
        served: ServedRelease,
        scratch: Path,
        config: Config | None = None,
        flags: Sequence[str] = (),
        store: str | None = None,
    ) -> None:
        self._state = ProjectState(scratch, served.data)
        self._state.folder.mkdir(parents=True)
        where = store or str(self._state.online_store)
        file = scratch / "config.yaml"
        # JSON is YAML.
        file.write_text(json.dumps(config or {}))
        self._flags = (
            f"--registry={served.registry}",
            f"--config={file}",
            f"--store={where}",
            *flags,
        )
        _fill(where, served)
        self._ranker = self._started()

    @property
    def address(self) -> str:
        """host:port of callers."""
        return self._ranker.address

    @property
    def port(self) -> int:
        """Of callers."""
        return int(self.address.rsplit(":", 1)[1])

    @property
    def metrics_address(self) -> str:
        """host:port of the metrics page."""
        return self._ranker.server.metrics_address

    @property
    def admin_address(self) -> str:
        """Of the operator's door."""
        return self._ranker.server.admin_address

    @property
    def event_log(self) -> Path:
        """Its log, which other processes may append to."""
        return self._state.event_log

    @property
    def pid(self) -> int:
        """Of the process that serves now, or that looks after those that do."""
        return self._ranker.server.pid

    def restart_after_kill(self) -> float:
        """Kills it with SIGKILL; returns the seconds from the new start to SERVING."""
        os.kill(self.pid, signal.SIGKILL)
        self._ranker.stop()
        started = time.monotonic()
        self._ranker = self._started()
        return time.monotonic() - started

    def cpu_seconds(self) -> float:
        """Returns the processor time used so far, by all its processes."""
        return cpu_seconds(self.pid)

    def close(self) -> None:
        """Drains it."""
        self._ranker.stop()

    def _started(self) -> RankerProcess:
        return RankerProcess.start(self._state, flags=self._flags, script=self.script)


def _fill(location: str, served: ServedRelease) -> None:
    store = open_key_value_store(location, _STORE_TIMEOUT_MS)
    try:
        import_user_state(UserStateFile.load(served.user_state), store)
    finally:
        store.close()


@dataclass(frozen=True, slots=True)
class Peer:
    """The glued stack while it serves, in one process or several on one port."""

    port: int
    pids: tuple[int, ...]
    num_parameters: int

    @property
    def address(self) -> str:
        """host:port of callers."""
        return f"127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Returns the processor time used so far, by all its processes."""
        return sum(map(cpu_seconds, self.pids))


@dataclass(frozen=True, slots=True)
class PeerSetup:
    """What a peer serves.

    Attributes:
        release: our release.
        files: made from it.
        redis_url: filled by `fill_peer_users`.
    """

    release: Path
    files: PeerFiles
    redis_url: str


def fill_peer_users(release: BenchRelease, redis_url: str) -> None:
    """Puts the blob of every user into Redis."""
    client = redis.Redis.from_url(redis_url)
    try:
        for users in peer_users(release):
            client.mset(users)
    finally:
        client.close()


@contextmanager
def running_peer(
    setup: PeerSetup, num_processes: int = 1, max_in_flight: int | None = None
) -> Iterator[Peer]:
    """The glued stack; see serving_peer.

    Args:
        setup: what it serves.
        num_processes: on one port.
        max_in_flight: a process refuses more calls at a time than that.
    Raises:
        UnavailableError: one ended or did not serve in time.
    """
    processes: list[subprocess.Popen[bytes]] = []
    port, ready = 0, {"num_parameters": 0}
    flags = ["--share_port"] if num_processes > 1 else []
    if max_in_flight is not None:
        flags.append(f"--max_in_flight={max_in_flight}")
    try:
        for _ in range(num_processes):
            processes.append(_peer_process(setup, [*flags, f"--port={port}"]))
            said = first_line(processes[-1], _PEER_MODULE, _PEER_WAIT_SECONDS)
            ready = json.loads(said)
            port = ready["port"]
        pids = tuple(process.pid for process in processes)
        yield Peer(port, pids, ready["num_parameters"])
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _peer_process(setup: PeerSetup, flags: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            *(sys.executable, "-m", _PEER_MODULE),
            f"--release={setup.release}",
            f"--index={setup.files.index}",
            f"--items={setup.files.items}",
            f"--redis={setup.redis_url}",
            *flags,
        ],
        stdout=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OMP_NUM_THREADS": "1",
        },
    )


def cpu_seconds(pid: int) -> float:
    """Returns the processor time of a process and its children, all threads."""
    total = 0.0
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        times = one.cpu_times()
        total += times.user + times.system
    return float(total)
