"""The open loop on a virtual clock: a stall must show, a late generator must void."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from open_loop import drive, merged, poisson, poisson_schedule, trace
from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.client.messages import answer_of
from stepwell.client.types import Answer
from stepwell_pb.v1 import recommend_pb2
from tally import LoadReport


class VirtualTime:
    """asyncio.sleep and a clock that jump from event to event."""

    def __init__(self) -> None:
        self.now = 100.0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    async def sleep(self, seconds: float) -> None:
        done = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.now + seconds, next(self._number), done))
        await done

    async def run(self, work: "asyncio.Task[LoadReport]") -> LoadReport:
        step = asyncio.Event()
        while not work.done():
            for _ in range(10):  # lets everything that can run, run
                asyncio.get_running_loop().call_soon(step.set)
                await step.wait()
                step.clear()
            if self._waiting and not work.done():
                self.now, _, done = heapq.heappop(self._waiting)
                done.set_result(None)
        return work.result()


def _answer() -> Answer:
    served = recommend_pb2.ServedBy(tier=1)  # type: ignore[arg-type]
    return answer_of(recommend_pb2.RecommendResponse(served_by=served), 1)


async def _driven(
    monkeypatch: pytest.MonkeyPatch,
    service: Callable[[VirtualTime], float],
    cpu_share: float = 0.1,
    late_seconds: float = 0.0,
) -> LoadReport:
    """Drives 10 calls, 0.1 s apart, at a server that takes `service` seconds."""
    virtual = VirtualTime()

    async def sleep(seconds: float) -> None:
        await virtual.sleep(seconds + late_seconds)

    async def ask() -> Answer:
        seconds = service(virtual)
        if seconds < 0:
            raise UnavailableError("down")
        await virtual.sleep(seconds)
        return _answer()

    monkeypatch.setattr("open_loop.asyncio.sleep", sleep)
    schedule = np.arange(1, 11) / 10
    run = drive(
        ask,
        schedule,
        now=lambda: virtual.now,
        cpu=lambda: cpu_share * virtual.now,
    )
    return await virtual.run(asyncio.ensure_future(run))


async def test_a_stall_shows_in_every_call_that_was_due_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The server does nothing between 0.25 s and 1.0 s of the run.
    report = await _driven(
        monkeypatch,
        lambda v: 0.01 if v.now < 100.25 else max(101.0 - v.now, 0) + 0.01,
    )
    assert report.void == ""
    assert report.total.num_calls == 10
    assert report.total.max_ms == pytest.approx(710, abs=1)
    # Calls at 0.3 .. 1.0 s wait 0.7, 0.6 .. 0 s: half of all wait 0.2 s or longer.
    assert report.total.p50_ms >= 200


async def test_calls_leave_on_time_while_earlier_ones_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = await _driven(monkeypatch, lambda _: 5.0)
    assert report.total.num_calls == 10
    assert report.total.max_ms == pytest.approx(5_000, abs=1)
    assert report.tiers == {"FULL": 10}


async def test_failed_calls_are_counted_by_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = await _driven(monkeypatch, lambda _: -1.0)
    assert report.errors == {"UNAVAILABLE": 10}


async def test_a_late_generator_voids_the_run_and_latency_keeps_the_lateness(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = await _driven(monkeypatch, lambda _: 0.01, late_seconds=0.05)
    assert "left on time" in report.void
    assert report.total.p50_ms >= 50


async def test_a_busy_generator_voids_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    report = await _driven(monkeypatch, lambda _: 0.01, cpu_share=0.9)
    assert "90% of a core" in report.void


def test_arrivals_are_poisson_and_seeded() -> None:
    times = poisson_schedule(rate=200, seconds=50, seed=3)
    assert np.array_equal(times, poisson_schedule(200, 50, seed=3))
    assert not np.array_equal(times[:50], poisson_schedule(200, 50, seed=4)[:50])
    assert np.all(np.diff(times) > 0)
    assert times[-1] < 50
    # 10,000 expected: five deviations of 100 either way.
    assert len(times) == pytest.approx(10_000, abs=500)
    gaps = np.diff(times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_a_rate_that_changes_thins_the_arrivals() -> None:
    schedule = poisson(lambda t: 100.0 if t < 10 else 300.0, 20.0, seed=5, lane=2)
    first = int((schedule.due_s < 10).sum())
    # 1,000 and 3,000 expected: five deviations either way.
    assert first == pytest.approx(1_000, abs=160)
    assert len(schedule) - first == pytest.approx(3_000, abs=275)
    assert set(schedule.lane.tolist()) == {2}


def test_merged_schedules_keep_time_and_lane() -> None:
    both = merged(poisson(50, 2.0, seed=1), poisson(50, 2.0, seed=2, lane=1))
    assert np.all(np.diff(both.due_s) >= 0)
    assert np.array_equal(both.due_s[both.lane == 1], poisson(50, 2.0, seed=2).due_s)


def test_a_trace_begins_at_zero_in_order(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text("100.5\n100.25 3\n\n101\n")
    schedule = trace(path)
    assert schedule.due_s.tolist() == [0.0, 0.25, 0.75]
    assert schedule.lane.tolist() == [3, 0, 0]


@pytest.mark.parametrize("line", ["soon", "1 2.5", "nan"])
def test_a_line_that_is_no_arrival_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "trace.txt"
    path.write_text(f"1\n{line}\n")
    with pytest.raises(InvalidArgumentError, match="arrival"):
        trace(path)


@pytest.mark.parametrize(("rate", "seconds"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0)])
def test_a_rate_or_length_of_nothing_is_refused(rate: float, seconds: float) -> None:
    with pytest.raises(InvalidArgumentError):
        poisson(rate, seconds, seed=1)
