"""Several ranker processes on one port: killed, replaced, ended, and of one mind."""

import json
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest

from integration.callers import PATIENT, Callers
from integration.small_project import SmallProject
from server_process import start
from stepwell.base.metric_names import FRONT_CONNECTIONS
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Event, EventType
from stepwell_pb.v1 import admin_pb2, admin_pb2_grpc, common_pb2

PATIENCE_S = 60.0
DEAR_EVERY = 10
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


@dataclass
class Server:
    """A supervisor with its workers, as its line of JSON names them."""

    pid: int
    port: int
    metrics_port: int
    admin_port: int
    admin_address: str
    workers: list[int]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def status(self) -> admin_pb2.GetStatusResponse:
        return self.admin("GetStatus", admin_pb2.GetStatusRequest())

    def admin(self, method: str, request: object) -> "admin_pb2.GetStatusResponse":
        with grpc.insecure_channel(self.admin_address) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            answer: admin_pb2.GetStatusResponse = getattr(stub, method)(
                request, timeout=PATIENCE_S
            )
            return answer

    def pids(self) -> list[int]:
        """Of the workers that serve now."""
        return [w.pid for w in self.status().workers if w.state == "SERVING"]

    def connections(self) -> dict[str, int]:
        """Of callers, by worker."""
        return {
            line.split('worker="')[1][0]: int(float(line.rsplit(" ", 1)[1]))
            for line in self.metrics().splitlines()
            if line.startswith(f"{FRONT_CONNECTIONS.name}{{")
        }

    def metrics(self) -> str:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as page:
            return str(page.read().decode())


@contextmanager
def workers(project: SmallProject, *more: str) -> Iterator[Server]:
    process = start("ranker_main", project.flags("--workers=2", *more), stderr=None)
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        ready.pop("release_id")
        yield Server(**ready)
    finally:
        process.terminate()
        assert process.wait(timeout=30) in (0, -signal.SIGKILL)
        process.stdout.close()


def _connected(port: int) -> socket.socket:
    """A caller who has been greeted by a worker, and says nothing more."""
    caller = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    caller.sendall(HTTP2_PREFACE)
    assert len(caller.recv(9)) == 9
    return caller


@pytest.fixture(scope="module")
def server(project: SmallProject) -> Iterator[Server]:
    with workers(project) as running:
        yield running


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Asks again and again, not so often that the answer is late for the asking."""
    pause = threading.Event()
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends, what
        pause.wait(0.2)


def _asked_until(server: Server, seen: set[str], project: SmallProject) -> None:
    """Opens connections until every worker has had one."""

    def all_seen() -> bool:
        with RecommendClient(server.address, PATIENT) as client:
            client.recommend(project.user_ids[0], 5)
        for line in server.metrics().splitlines():
            if line.startswith("stepwell_serving_answers_total{"):
                seen.add(line.split('worker="')[1][0])
        return seen == {"0", "1"}

    eventually(all_seen, "the kernel spreads connections over both")


def test_both_answer_and_one_page_has_both(
    server: Server, project: SmallProject
) -> None:
    assert sorted(server.workers) == sorted(server.pids())
    assert server.pid not in server.workers
    _asked_until(server, set(), project)
    assert "stepwell_serving_live_workers_number 2.0" in server.metrics()


def test_events_of_any_worker_count_before_they_are_acknowledged(
    server: Server, project: SmallProject
) -> None:
    user = "of both workers"
    # Ten connections, one at a time: all are one worker's once in 500 runs.
    for number in range(10):
        with RecommendClient(server.address, PATIENT) as client:
            # The newest that the catalogue knows; any will do.
            item = client.recommend(project.user_ids[0], 1).items[0].item_id
            event = Event(f"event {number}", user, item, EventType.PURCHASE)
            client.log_events([event])
        with RecommendClient(server.address, PATIENT) as another:
            reasons = another.recommend(user, 5).served_by.reasons
        assert "MISSING_USER" not in [reason.name for reason in reasons]
    applied = [
        float(line.rsplit(" ", 1)[1])
        for line in server.metrics().splitlines()
        if line.startswith("stepwell_feedback_events_applied_total{")
    ]
    assert sum(applied) == 10


def test_a_worker_that_is_killed_is_replaced_and_keeps_the_operators_pin(
    server: Server, project: SmallProject
) -> None:
    forced = admin_pb2.ForceTierRequest(tier=common_pb2.TIER_POPULAR, reason="test")
    server.admin("ForceTier", forced)
    constants = admin_pb2.SetLadderRequest(
        ladder=admin_pb2.LadderConstants(standing_us=12_345), reason="test"
    )
    server.admin("SetLadder", constants)
    killed = server.pids()[0]
    with Callers(server.address, project.user_ids, DEAR_EVERY) as callers:
        os.kill(killed, signal.SIGKILL)
        eventually(
            lambda: killed not in server.pids() and len(server.pids()) == 2,
            "a successor serves",
        )
    assert callers.errors == []
    assert callers.num_answers > 0
    for worker in server.status().workers:
        assert worker.status.forced_tier == common_pb2.TIER_POPULAR
        assert worker.status.ladder.standing_us == 12_345
    assert sum(worker.num_restarts for worker in server.status().workers) == 1
    server.admin("ForceTier", admin_pb2.ForceTierRequest(reason="over"))


def test_all_are_replaced_one_by_one_without_an_error(
    server: Server, project: SmallProject
) -> None:
    before = set(server.pids())
    with Callers(server.address, project.user_ids, DEAR_EVERY) as callers:
        os.kill(server.pid, signal.SIGHUP)
        eventually(
            lambda: before.isdisjoint(now := server.pids()) and len(now) == 2,
            "both are new",
        )
    assert callers.errors == []
    assert callers.num_answers > 0
    eventually(
        lambda: not any(psutil.pid_exists(pid) for pid in before), "the old ones end"
    )


def test_the_tables_of_a_release_are_mapped_and_nobody_has_a_copy(
    server: Server, project: SmallProject
) -> None:
    tables = {"index.hnsw", "neighbours.safetensors", "user_tower.safetensors"}
    for pid in server.pids():
        mapped = {
            Path(area.path).name: area
            for area in psutil.Process(pid).memory_maps()
            if str(project.state.registry) in area.path
        }
        assert tables <= set(mapped)
        assert [area.private_dirty for area in mapped.values() if area.path] == (
            [0] * len(mapped)
        )


def test_a_port_that_somebody_has_is_not_shared(
    server: Server, project: SmallProject
) -> None:
    taken = project.flags("--workers=2", f"--port={server.port}")
    process = start("ranker_main", taken)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{server.port}" in said.decode()


def test_connections_are_even_and_a_successor_catches_up(
    project: SmallProject,
) -> None:
    with workers(project, "--workers=3") as server, ExitStack() as callers:

        def connect(num_callers: int) -> dict[str, int]:
            for _ in range(num_callers):
                callers.enter_context(_connected(server.port))
            return server.connections()

        assert connect(30) == {"0": 10, "1": 10, "2": 10}
        killed = server.pids()[1]
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: killed not in server.pids(), "it is missed")
        connect(10)
        eventually(lambda: len(server.pids()) == 3, "a successor serves")
        assert server.connections() == {"0": 15, "1": 0, "2": 15}
        assert connect(15) == {"0": 15, "1": 15, "2": 15}


# The last one: it ends the server of all.
def test_workers_end_when_their_supervisor_is_killed(server: Server) -> None:
    left = server.pids()
    os.kill(server.pid, signal.SIGKILL)
    eventually(
        lambda: not any(psutil.pid_exists(pid) for pid in left), "the kernel tells them"
    )
