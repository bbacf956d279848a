"""K1 and K2: one of several processes dies, or all are replaced: nobody notices."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from faults.load import (
    BUDGET_MS,
    Capacity,
    capacity,
    load,
    long_or_short,
    settled,
)
from faults.server_page import metric_value
from generator import At
from integration.small_project import SmallProject
from lanes import Lane, recommend_lane
from load_run import LoadRun
from server_process import ServerProcess, server_process
from stepwell.base.errors import StepwellError
from stepwell.base.metric_names import SERVING_READY
from stepwell.client.attempts import ClientOptions
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Event, EventType
from stepwell.stores.lmdb_event_log import LmdbEventLog

NUM_WORKERS = 2
NUM_KILLS = int(long_or_short(20, 2))
KILL_S = 1.0
DEADLINE_MS = 2_000
ONE_RETRY = RetryOptions(max_attempts=2, budget_tokens=100)
"""For each call: on a busy machine a process that is killed is gone a tenth of a second
later, and all that came to it meanwhile fails at one moment."""
PATIENCE_S = 30.0
READ_EVENTS = 10_000
EVENT_PREFIX = "kept "


@dataclass(frozen=True)
class System:
    """A supervisor and its workers."""

    server: ServerProcess
    event_log: Path
    capacity: Capacity
    user_ids: list[str]

    @property
    def pid(self) -> int:
        return self.server.process.pid

    @property
    def lane(self) -> Lane:
        return recommend_lane(
            "all", self.user_ids, deadline_ms=DEADLINE_MS, retries=ONE_RETRY
        )

    def all_serve(self) -> bool:
        """Every worker is there and says that it is ready."""
        ready = metric_value(self.server.metrics_port, SERVING_READY)
        return ready == NUM_WORKERS and len(self.workers()) == NUM_WORKERS

    def workers(self) -> list[int]:
        """Pids, oldest first."""
        children = psutil.Process(self.pid).children()
        return [one.pid for one in sorted(children, key=lambda c: c.create_time())]


@dataclass
class Shopper:
    """Logs purchases one after the other, from a thread; sends again what failed."""

    system: System
    acknowledged: list[str] = field(default_factory=list)
    num_failed: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._shop)

    def __enter__(self) -> "Shopper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=PATIENCE_S)

    def _shop(self) -> None:
        options = ClientOptions(deadline_ms=DEADLINE_MS, retries=ONE_RETRY)
        user_id, number = self.system.user_ids[0], 0
        with RecommendClient(self.system.server.address, options) as client:
            while not self._stop.wait(0.02):
                event_id = f"{EVENT_PREFIX}{number}"
                event = Event(event_id, user_id, "i00000001", EventType.PURCHASE)
                try:
                    client.log_events([event])
                except StepwellError:
                    # Stored or not: the same id settles it.
                    self.num_failed += 1
                else:
                    self.acknowledged.append(event_id)
                    number += 1


@pytest.fixture
def system(project: SmallProject, tmp_path: Path) -> Iterator[System]:
    events = tmp_path / "events"
    flags = project.flags(
        f"--workers={NUM_WORKERS}",
        f"--event_log={events}",
        f"--latency_budget_ms={BUDGET_MS}",
        f"--default_deadline_ms={DEADLINE_MS}",
    )
    with server_process("ranker_main", flags) as server:
        carried = capacity(server.address, project.user_ids)
        yield System(server, events, carried, project.user_ids)


def failures(run: LoadRun) -> list[tuple[float, float, int, int]]:
    """When each call was due and over, its status and its attempts."""
    failed = run.where(~run.ok())
    columns = (failed.due_s, failed.done_s, failed.status, failed.attempts)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def eventually(holds: Callable[[], bool], what: str) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.05)):
        if holds():
            return
        pause.wait(0.05)
    raise AssertionError(what)


def test_k1_killed_workers_cost_no_answer_and_no_event(system: System) -> None:
    killed: list[int] = []

    def kill() -> None:
        # In turn: the one that has lived longest.
        victim = system.workers()[0]
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)

    rate = long_or_short(0.7, 0.3) * system.capacity.full
    settled(system.server.address, system.lane, rate)
    with Shopper(system) as shopper:
        for _ in range(NUM_KILLS):
            eventually(system.all_serve, "not all serve")
            run = load(system.server.address, system.lane, rate, 4, [At(KILL_S, kill)])
            assert run.ok().all(), failures(run)
        eventually(system.all_serve, "not started again")
    # Each was one that served, and another one serves in its place.
    assert len(set(killed)) >= NUM_KILLS
    assert not set(killed) & set(system.workers())
    assert len(shopper.acknowledged) >= 10 * NUM_KILLS
    assert shopper.num_failed <= len(killed)
    assert system.server.terminate() == 0
    assert_kept_once(system.event_log, shopper.acknowledged)


def test_k2_a_rolling_restart_is_noticed_by_nobody(system: System) -> None:
    before = set(system.workers())
    settled(system.server.address, system.lane, 0.3 * system.capacity.full)
    with Shopper(system) as shopper:
        restart = At(KILL_S, lambda: os.kill(system.pid, signal.SIGHUP))
        rate = long_or_short(0.7, 0.3) * system.capacity.full
        run = load(system.server.address, system.lane, rate, 14, [restart])
        eventually(
            lambda: system.all_serve() and not before & set(system.workers()),
            "not replaced",
        )
    assert run.ok().all(), failures(run)
    assert shopper.num_failed == 0
    assert system.server.terminate() == 0
    assert_kept_once(system.event_log, shopper.acknowledged)


def assert_kept_once(event_log: Path, acknowledged: list[str]) -> None:
    log = LmdbEventLog(event_log)
    try:
        stored: Counter[str] = Counter()
        offset = 0
        while events := log.read(offset, READ_EVENTS):
            stored.update(event.event_id for event in events)
            offset = events[-1].offset + 1
    finally:
        log.close()
    kept = {name: n for name, n in stored.items() if name.startswith(EVENT_PREFIX)}
    assert set(acknowledged) <= kept.keys()
    assert set(kept.values()) == {1}
