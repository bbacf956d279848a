"""The workers of one ranker: as many as were asked for, whatever happens to one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

import structlog

from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import WORKER_RESTARTS, WORKERS_SERVING
from stepwell.base.metrics import Metrics
from stepwell.serving.admin_fan_out_servicer import WorkerView
from stepwell.serving.ready import Ready
from worker_process import WorkerProcess

_log = structlog.get_logger(__name__)
StartWorker = Callable[[int], Awaitable[WorkerProcess]]
OnReady = Callable[[WorkerProcess], Awaitable[None]]

DRAIN_SECONDS = 10.0
_REPLACE_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_HEALTHY_SECONDS = 10.0
"""A worker that lived so long did not end because of how it was started."""


class _Place:
    """One worker's place, which its successors take over."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.worker = worker
        self.num_restarts = 0
        self.pause_seconds = 0.0
        self.changing = asyncio.Lock()


class WorkerCrew:
    """Starts workers, restarts those that end, replaces them one by one, drains them.

    Args:
        start: starts the process of a place.
        on_ready: told of every worker that serves, before it counts as serving.
        metrics: how many serve, how many were restarted.

    Concurrency: one event loop; `views` and `metrics_ports` from any thread.
    """

    def __init__(self, start: StartWorker, on_ready: OnReady, metrics: Metrics) -> None:
        self._start = start
        self._on_ready = on_ready
        self._metrics = metrics
        self._places: list[_Place] = []
        self._alive: set[WorkerProcess] = set()
        self._stopping = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []

    def views(self) -> Sequence[WorkerView]:
        """Returns each worker, by number."""
        return [place.worker.view(place.num_restarts) for place in self._places]

    def metrics_ports(self) -> dict[str, int]:
        """Returns where each worker's metrics are, of those that serve."""
        return {str(w.number): w.ready.metrics_port for w in self._serving() if w.ready}

    async def start(self, num_workers: int) -> Ready:
        """Starts all and returns what the first says, once all serve.

        Raises:
            UnavailableError: one ended before it served; the others are gone then.
        """
        for number in range(num_workers):
            self._places.append(_Place(await self._started(number)))
        served = [self._served(place.worker) for place in self._places]
        ready = await asyncio.gather(*served)
        for number, said in enumerate(ready):
            if said is None and not self._stopping.is_set():
                await self.stop()
                raise UnavailableError(f"worker {number} ended before it served")
        self._keepers = [asyncio.create_task(self._keep(p)) for p in self._places]
        return ready[0] or Ready(0, 0, 0, "")

    async def replace_all(self) -> None:
        """Replaces the workers one by one; each successor serves before the old ends.

        One that does not serve within a minute is given up, and its place keeps the
        worker it has.
        """
        for place in self._places:
            async with place.changing:
                if not self._stopping.is_set():
                    await self._replace(place)

    async def stop(self) -> None:
        """Drains all; returns when none is left."""
        self._stopping.set()
        await asyncio.gather(*(w.drain(DRAIN_SECONDS) for w in list(self._alive)))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._count()

    async def _keep(self, place: _Place) -> None:
        while not self._stopping.is_set():
            worker = place.worker
            status = await worker.ended()
            async with place.changing:
                if place.worker is worker and not self._stopping.is_set():
                    self._alive.discard(worker)
                    place.num_restarts += 1
                    self._metrics.add(WORKER_RESTARTS)
                    _log.error("worker ended", worker=worker.number, status=status)
                    await self._restart(place)

    async def _restart(self, place: _Place) -> None:
        while not await self._paused(place):
            worker = place.worker = await self._started(place.worker.number)
            if await self._served(worker) is not None:
                return
            _log.error("worker ended before it served", worker=worker.number)

    async def _paused(self, place: _Place) -> bool:
        """Waits before a restart, longer each time in a row; True when all must end."""
        lived = time.monotonic() - place.worker.started_seconds
        if lived > _HEALTHY_SECONDS:
            place.pause_seconds = 0.0
        pause = place.pause_seconds
        longer = max(2 * pause, _FIRST_PAUSE_SECONDS)
        place.pause_seconds = min(longer, _LONGEST_PAUSE_SECONDS)
        try:
            await asyncio.wait_for(self._stopping.wait(), pause)
        except TimeoutError:
            return self._stopping.is_set()
        return True

    async def _replace(self, place: _Place) -> None:
        former = place.worker
        successor = await self._started(former.number)
        try:
            ready = await asyncio.wait_for(self._served(successor), _REPLACE_SECONDS)
        except TimeoutError:
            ready = None
        if ready is None:
            _log.error("worker not replaced", worker=former.number)
            await self._drained(successor)
            return
        place.worker = successor
        await self._drained(former)
        _log.info("worker replaced", worker=former.number, pid=successor.pid)

    async def _started(self, number: int) -> WorkerProcess:
        worker = await self._start(number)
        self._alive.add(worker)
        return worker

    async def _served(self, worker: WorkerProcess) -> Ready | None:
        ready = await worker.serves()
        if ready is None:
            self._alive.discard(worker)
        else:
            await self._on_ready(worker)
        self._count()
        return ready

    async def _drained(self, worker: WorkerProcess) -> None:
        await worker.drain(DRAIN_SECONDS)
        self._alive.discard(worker)
        self._count()

    def _serving(self) -> Iterator[WorkerProcess]:
        for place in list(self._places):
            if place.worker.view(0).state == "SERVING":
                yield place.worker

    def _count(self) -> None:
        self._metrics.set(WORKERS_SERVING, sum(1 for _ in self._serving()))
