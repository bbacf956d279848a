"""The crew: what it does when a worker ends, is replaced, or does not start."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import WORKER_RESTARTS, WORKERS_SERVING
from stepwell.base.metrics import Metrics
from stepwell.serving.admin_fan_out_servicer import WorkerView
from stepwell.serving.ready import Ready
from worker_crew import WorkerCrew
from worker_process import WorkerProcess


class Worker:
    """A process that serves at once, or ends at once, and ends when it is told to."""

    pids = iter(range(1, 1_000))

    def __init__(self, number: int, *, starts: bool = True) -> None:
        self.number = number
        self.pid = next(self.pids)
        self.born_with = ""
        self.started_seconds = 0.0  # long ago
        self.ready: Ready | None = None
        self.over: asyncio.Event = asyncio.Event()
        self._starts = starts

    async def serves(self) -> Ready | None:
        if not self._starts:
            self.over.set()
            return None
        self.ready = Ready(1, 100 + self.pid, 3, "v000001")
        return self.ready

    async def ended(self) -> int:
        await self.over.wait()
        return -9

    async def drain(self, patience_seconds: float) -> None:
        self.over.set()

    def view(self, num_restarts: int) -> WorkerView:
        serves = self.ready is not None and not self.over.is_set()
        state = "SERVING" if serves else "WAITING"
        return WorkerView(self.number, self.pid, state, num_restarts, "")


@dataclass
class Bench:
    """A crew whose workers are objects; `failing` of the next starts end at once."""

    metrics: Metrics = field(default_factory=Metrics)
    made: list[Worker] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    failing: int = 0

    def __post_init__(self) -> None:
        self.crew = WorkerCrew(self._start, self._on_ready, self.metrics)

    async def _start(self, number: int) -> WorkerProcess:
        worker = Worker(number, starts=self.failing <= 0)
        self.failing -= 1
        self.made.append(worker)
        return worker  # type: ignore[return-value]

    async def _on_ready(self, worker: WorkerProcess) -> None:
        self.told.append(worker.pid)

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(10_000):
            if holds():
                return
            await asyncio.sleep(0)
        raise TimeoutError("it never holds")

    def serving(self) -> list[int]:
        views = self.crew.views()
        return [view.pid for view in views if view.state == "SERVING"]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.crew.stop()


async def test_starts_as_many_as_asked_for_and_tells_of_each(bench: Bench) -> None:
    ready = await bench.crew.start(3)
    assert ready.release_id == "v000001"
    assert [view.number for view in bench.crew.views()] == [0, 1, 2]
    assert sorted(bench.told) == sorted(bench.serving())
    assert bench.metrics.value(WORKERS_SERVING) == 3
    ports = {str(w.number): 100 + w.pid for w in bench.made}
    assert bench.crew.metrics_ports() == ports


async def test_one_that_does_not_start_ends_all(bench: Bench) -> None:
    bench.failing = 1
    with pytest.raises(UnavailableError, match="worker 0 ended before it served"):
        await bench.crew.start(2)
    assert all(worker.over.is_set() for worker in bench.made)


async def test_one_that_ends_is_started_again_in_its_place(bench: Bench) -> None:
    await bench.crew.start(2)
    bench.made[1].over.set()
    await bench.until(lambda: len(bench.serving()) == 2 and len(bench.made) == 3)
    assert bench.made[2].number == 1
    assert [view.num_restarts for view in bench.crew.views()] == [0, 1]
    assert bench.metrics.value(WORKER_RESTARTS) == 1
    assert bench.told[-1] == bench.made[2].pid


async def test_a_successor_that_does_not_start_is_followed_by_another(
    bench: Bench,
) -> None:
    await bench.crew.start(1)
    bench.failing = 1
    bench.made[0].over.set()
    await bench.until(lambda: bench.serving() == [bench.made[-1].pid])
    assert len(bench.made) == 3


async def test_each_is_replaced_by_one_that_serves_before_it_ends(
    bench: Bench,
) -> None:
    await bench.crew.start(2)
    former = list(bench.made)
    least = []

    async def watched(worker: WorkerProcess) -> None:
        least.append(len([w for w in former if not w.over.is_set()]))

    bench.crew._on_ready = watched
    await bench.crew.replace_all()
    # When a successor serves, all whose turn has not come still do.
    assert least == [2, 1]
    assert all(worker.over.is_set() for worker in former)
    assert bench.serving() == [worker.pid for worker in bench.made[2:]]
    assert bench.metrics.value(WORKER_RESTARTS) == 0


async def test_a_replacement_that_does_not_start_leaves_the_place_as_it_is(
    bench: Bench,
) -> None:
    await bench.crew.start(1)
    bench.failing = 1
    await bench.crew.replace_all()
    assert bench.serving() == [bench.made[0].pid]


async def test_stopping_ends_all_and_starts_none(bench: Bench) -> None:
    await bench.crew.start(2)
    await bench.crew.stop()
    assert bench.serving() == []
    assert len(bench.made) == 2
    assert bench.metrics.value(WORKERS_SERVING) == 0
