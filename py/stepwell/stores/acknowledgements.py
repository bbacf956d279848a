"""Futures of batches that the embedded log has under way."""

import math
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any, Protocol

from stepwell.base.errors import StepwellError
from stepwell.stores.event_log import AppendReceipt

Done = tuple[int, list[int], int, StepwellError | None]
"""Ticket, offsets, events that were new, and what went wrong."""


class TicketedLog(Protocol):
    """A log whose appends end in another call; the C++ one."""

    def submit(self, ids: list[bytes], payloads: list[bytes]) -> int:
        """Returns the ticket of a batch."""
        ...

    def wait_done(self, timeout_s: float) -> list[Any]:
        """Returns what has ended, never nothing before the time is over.

        A log that is closed and has handed everything out returns nothing at once.
        """
        ...


class Acknowledgements:
    """Submits batches, and completes their futures as the log makes them durable.

    Concurrency: thread-safe. One thread, begun at the first batch, sleeps in the log
    and runs the futures' callbacks.
    """

    def __init__(self, log: TicketedLog) -> None:
        self._log = log
        self._futures: dict[int, Future[AppendReceipt]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(
        self, ids: list[bytes], payloads: list[bytes]
    ) -> "Future[AppendReceipt]":
        """Returns a future that cannot be cancelled; raises what the log raises."""
        future: Future[AppendReceipt] = Future()
        future.set_running_or_notify_cancel()
        # The end of a batch may be there before its ticket is known: it waits here.
        with self._lock:
            self._futures[self._log.submit(ids, payloads)] = future
            if self._thread is None:
                self._start()
        return future

    def close(self) -> None:
        """Completes what is under way and ends the thread; the log is closed before."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="acknowledgements")
        self._thread.daemon = True
        self._thread.start()

    def _run(self) -> None:
        while ended := self._log.wait_done(math.inf):
            self._complete(ended)

    def _complete(self, ended: Iterable[Done]) -> None:
        for ticket, offsets, num_stored, error in ended:
            with self._lock:
                future = self._futures.pop(ticket)
            if error is None:
                future.set_result(AppendReceipt(tuple(offsets), num_stored))
            else:
                future.set_exception(error)
