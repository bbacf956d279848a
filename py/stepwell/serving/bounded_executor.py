"""Threads for work that must leave the event loop, behind a queue that has an end."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from stepwell.base.clock import Clock, SystemClock
from stepwell.base.errors import ResourceExhaustedError

T = TypeVar("T")

_MEMORY = 0.9
"""Weight of what was known of the mean when another call is done."""


class BoundedExecutor:
    """Runs work on its own threads; work that finds the queue full is refused.

    Args:
        name: of its threads, and in refusals.
        num_threads: that run work.
        max_waiting: calls that may wait for a thread.
        clock: times the calls, for the push-back of a refusal.

    Concurrency: `run` on one event loop.
    """

    def __init__(
        self,
        name: str,
        num_threads: int,
        max_waiting: int,
        clock: Clock | None = None,
    ) -> None:
        self._name = name
        self._num_threads = num_threads
        self._max_waiting = max_waiting
        self._clock = clock or SystemClock()
        self._threads = ThreadPoolExecutor(num_threads, name)
        self._num_inside = 0
        self._mean_us = 0.0
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """Returns what `work` returns. Cancelled while it waits, it never runs.

        Raises:
            ResourceExhaustedError: the queue is full; says when to come back.
        """
        self._enter()
        try:
            future = self._threads.submit(self._timed, work)
        except RuntimeError:
            self._leave()
            raise
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finishes what was taken in and ends the threads."""
        self._threads.shutdown()

    def _enter(self) -> None:
        with self._lock:
            waiting = self._num_inside - self._num_threads
            if waiting >= self._max_waiting:
                after_ms = self._num_inside * self._mean_us / self._num_threads / 1_000
                text = f"{self._name}: {waiting} calls are waiting"
                raise ResourceExhaustedError(text, max(1, round(after_ms)))
            self._num_inside += 1

    def _leave(self, _: "Future[T] | None" = None) -> None:
        with self._lock:
            self._num_inside -= 1

    def _timed(self, work: Callable[[], T]) -> T:
        started_us = self._clock.monotonic_us()
        try:
            return work()
        finally:
            took_us = self._clock.monotonic_us() - started_us
            with self._lock:
                old = self._mean_us or took_us
                self._mean_us = _MEMORY * old + (1 - _MEMORY) * took_us
