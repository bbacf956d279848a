"""The one thread of a server that loads releases and lets them go."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from stepwell.base.thread_rank import step_back

Result = TypeVar("Result")
_NAME = "releases"


class ReleaseThread:
    """Runs what is handed to it, one after the other, behind the callers' threads.

    It stands where the workers stand and not further back: it holds the interpreter's
    lock at times, and must be given the processor then.

    Concurrency: thread-safe.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, _NAME, initializer=self._begin)
        self._thread: int | None = None
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, work: Callable[[], Result]) -> "Future[Result]":
        """Runs `work` after what was handed over before; RuntimeError once closed."""
        return self._pool.submit(work)

    def run_later(self, work: Callable[[], None]) -> None:
        """Runs `work` there, however the caller goes on.

        At once where the caller is that thread, or where it has ended.
        """
        with self._lock:
            elsewhere = not self._closed and threading.get_ident() != self._thread
            if elsewhere:
                self._pool.submit(work)
        if not elsewhere:
            work()

    def run_next(self, work: Callable[[], None]) -> None:
        """Runs `work` there once what runs there now has ended; never, once closed."""
        with self._lock:
            if not self._closed:
                self._pool.submit(work)

    def close(self) -> None:
        """Waits for what was handed over; the thread is gone on return."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=True)

    def _begin(self) -> None:
        self._thread = threading.get_ident()
        step_back()
