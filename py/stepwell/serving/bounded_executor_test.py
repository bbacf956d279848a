"""The queue in front of the threads has an end, and places come back."""

import asyncio
import threading

import pytest

from stepwell.base.errors import ResourceExhaustedError
from stepwell.serving.bounded_executor import BoundedExecutor


class _Clock:
    """Each look is 30 ms after the one before."""

    def __init__(self) -> None:
        self._now_us = 0

    def monotonic_us(self) -> int:
        self._now_us += 30_000
        return self._now_us

    def event_seconds(self) -> int:
        return 0

    def wall_us(self) -> int:
        return 0


class _Gated:
    """One thread, two places, and a call that holds the thread."""

    def __init__(self) -> None:
        self.executor = BoundedExecutor("test", 1, 2, _Clock())
        self.gate = threading.Event()
        self.ran: list[str] = []

    def start(self, name: str) -> "asyncio.Task[None]":
        return asyncio.create_task(self.executor.run(lambda: self._work(name)))

    def _work(self, name: str) -> None:
        self.gate.wait(30)
        self.ran.append(name)


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    gated = _Gated()
    gated.gate.set()
    await gated.start("measured")
    gated.gate.clear()
    inside = [gated.start(name) for name in ("runs", "waits", "waits too")]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhaustedError, match="test: 2 calls are waiting") as e:
        await gated.start("refused")
    assert e.value.retry_after_ms == 90  # three calls of 30 ms on one thread
    gated.gate.set()
    await asyncio.gather(*inside)
    await gated.start("after")
    assert gated.ran == ["measured", "runs", "waits", "waits too", "after"]
    gated.executor.close()


async def test_a_cancelled_call_gives_its_place_back_and_never_runs() -> None:
    gated = _Gated()
    runs, waits, gone = [gated.start(name) for name in ("runs", "waits", "gone")]
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    instead = gated.start("instead")
    await asyncio.sleep(0)
    gated.gate.set()
    await asyncio.gather(runs, waits, instead)
    assert gated.ran == ["runs", "waits", "instead"]
    gated.executor.close()


async def test_an_error_travels_and_gives_its_place_back() -> None:
    gated = _Gated()
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            await gated.executor.run(lambda: 1 / 0)
    gated.executor.close()
