"""The ranker of several processes: one port, one metrics page, one operator's door."""

import asyncio
import http.client
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

import worker_flags
from admin_door import admin_door
from stepwell.base.clock import SystemClock
from stepwell.base.errors import UnavailableError
from stepwell.base.metrics import Metrics
from stepwell.front.siblings import SiblingSeat
from stepwell.serving.admin_fan_out_servicer import AdminFanOut, WorkerView
from stepwell.serving.admin_gate import AdminGate
from stepwell.serving.audit_log import AuditLog
from stepwell.serving.metrics_merge import merged_page
from stepwell.serving.metrics_server import MetricsServer
from stepwell.serving.ready import Ready
from stepwell.serving.single_service_server import SingleServiceServer
from stepwell_pb.v1 import admin_pb2, admin_pb2_grpc
from worker_crew import WorkerCrew
from worker_process import WorkerProcess
from worker_slots import WorkerSlots

_log = structlog.get_logger(__name__)
_SCRAPE_SECONDS = 1.0
_GRACE_SECONDS = 1.0
_ADMIN = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]

Announce = Callable[[Ready, Sequence[int]], None]


async def supervise(arguments: Sequence[str], announce: Announce) -> None:
    """Serves by --workers processes until SIGTERM or SIGINT, then drains them.

    SIGHUP replaces them one by one. When this process dies they drain by themselves.

    Args:
        arguments: the command line; every worker gets it.
        announce: told once, when all serve.
    Raises:
        UnavailableError: the port is taken, or a worker ended before it served.
    """
    with (
        _reserved(worker_flags.HOST.value, worker_flags.PORT.value) as reserved,
        _updater_lock() as lock,
    ):
        port: int = reserved.getsockname()[1]
        flags = [*arguments, *flags_of_worker(port), f"--updater_lock={lock}"]
        await _Supervisor(port, flags).run(announce)


class _Supervisor:
    """Concurrency: `run` once, on the event loop it was made on."""

    def __init__(self, port: int, flags: Sequence[str]) -> None:
        self._port = port
        self._flags = flags
        self._metrics = Metrics()
        self._crew = WorkerCrew(self._start, self._on_ready, self._metrics)
        clock = SystemClock()
        audit = AuditLog(worker_flags.audit_log(), clock)
        self._admin = AdminFanOut(self._crew, audit, clock)
        gate = AdminGate(self._admin, worker_flags.admin_tcp_role(), audit)
        self._admin_server = SingleServiceServer(
            _ADMIN,
            lambda border: admin_pb2_grpc.add_AdminServiceServicer_to_server(
                gate, border
            ),
            Metrics(),  # the workers' pages count the same calls
            admin_door(),
        )
        self._metrics_server = MetricsServer(
            _CrewPage(self._crew, self._metrics),
            lambda: None,
            worker_flags.METRICS_HOST.value,
            worker_flags.METRICS_PORT.value,
        )
        self._slots = WorkerSlots(worker_flags.WORKERS.value)
        self._watching: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._replacing: asyncio.Task[None] | None = None

    async def run(self, announce: Announce) -> None:
        """Serves until a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._replace_all)
        self._metrics_server.start()
        await self._admin_server.start()
        try:
            starting = asyncio.create_task(self._started())
            stopped = asyncio.create_task(self._stop.wait())
            await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                announce(starting.result(), [view.pid for view in self._crew.views()])
            await stopped
        finally:
            _log.info("draining")
            await self._crew.stop()
            await asyncio.gather(*self._watching)
            self._slots.close()
            await self._admin_server.drain(_GRACE_SECONDS)
            await asyncio.to_thread(self._metrics_server.close)

    async def _started(self) -> Ready:
        ready = await self._crew.start(worker_flags.WORKERS.value)
        return Ready(
            port=self._port,
            metrics_port=self._metrics_server.port,
            admin_port=self._admin_server.port,
            release_id=ready.release_id,
            admin_address=self._admin_server.address,
        )

    def _replace_all(self) -> None:
        if self._replacing is not None and not self._replacing.done():
            _log.warning("the workers are being replaced already")
            return
        self._replacing = asyncio.create_task(self._crew.replace_all())

    async def _start(self, number: int) -> WorkerProcess:
        born_with = self._admin.pinned.to_text()
        flags = [*self._flags, f"--pinned_state={born_with}"]
        seat = self._slots.take()
        if seat is None:
            return await WorkerProcess.start(number, flags, born_with)
        flags.append(f"--siblings={seat.to_text()}")
        try:
            worker = await WorkerProcess.start(
                number, flags, born_with, seat.descriptors
            )
        except OSError:
            self._slots.free(seat)
            raise
        watching = asyncio.create_task(self._freed(worker, seat))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        return worker

    async def _freed(self, worker: WorkerProcess, seat: SiblingSeat) -> None:
        await worker.ended()
        self._slots.free(seat)

    async def _on_ready(self, worker: WorkerProcess) -> None:
        view: WorkerView = worker.view(0)
        await self._admin.bring_up_to_date(view, worker.born_with)


class _CrewPage:
    """The metrics of all workers, each series with the worker's number."""

    def __init__(self, crew: WorkerCrew, own: Metrics) -> None:
        self._crew = crew
        self._own = own

    def exposition(self) -> bytes:
        pages = {
            worker: page
            for worker, port in self._crew.metrics_ports().items()
            if (page := _page(port)) is not None
        }
        return self._own.exposition() + merged_page(pages)


def _page(port: int) -> bytes | None:
    """Returns a worker's page; None from one that is ending or stands still."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SCRAPE_SECONDS)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return answer.read() if answer.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


@contextmanager
def _updater_lock() -> Iterator[Path]:
    """The file of the updater's turn; one of our own where the store is no folder."""
    if (path := worker_flags.updater_lock()) is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="stepwell-") as scratch:
        yield Path(scratch) / "updater.lock"


def flags_of_worker(port: int) -> list[str]:
    """Returns what a worker is told behind the supervisor's own flags."""
    return [
        "--workers=1",
        f"--port={port}",
        "--shared_port",
        "--metrics_host=127.0.0.1",
        "--metrics_port=0",
        # A socket that the supervisor alone may open.
        "--admin_socket=auto",
        "--admin_port=-1",
        f"--parent_pid={os.getpid()}",
        # What an operator does is taken down once, here; what guardrails do, there.
        "--audit_log=",
        f"--rollback_log={worker_flags.audit_log() or ''}",
        "--ready_file=",
    ]


def _reserved(host: str, port: int) -> socket.socket:
    """Returns a socket that keeps the port without listening on it.

    The kernel spreads connections over those that listen; the port stays ours while
    none does.

    Raises:
        UnavailableError: another server has the port.
    """
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    try:
        # A server of somebody else that shares its port would share it with us too.
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            port = probe.getsockname()[1]
        reserved = socket.socket(family)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, port))
    except OSError as error:
        raise UnavailableError(f"cannot listen on {host}:{port}: {error}") from error
    return reserved
