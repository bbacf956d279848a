"""The worker threads: each takes the next call from the queue and answers it."""

import threading
from collections.abc import Callable

import structlog

from stepwell.base.thread_rank import step_back
from stepwell.degradation.controller import LadderController
from stepwell.front.admission_queue import AdmissionQueue
from stepwell.front.call import Call

_log = structlog.get_logger(__name__)

IDLE_SECONDS = 0.1
"""A worker without a call looks up so often, for what changes with time alone."""

Handle = Callable[[Call], None]
"""Answers a call, with an error where it must."""


class Dispatcher:
    """Hands calls to worker threads, in the order that the queue gives them.

    Args:
        queue: of the callers' front; the dispatcher is its only taker.
        handle: answers one call; called from every worker.
        ladder: is told when no call has come for a while.

    Concurrency: `open`, `start` and `close` from one thread at a time.
    Cost: about 3 us a call.
    """

    def __init__(
        self, queue: AdmissionQueue, handle: Handle, ladder: LadderController
    ) -> None:
        self._queue = queue
        self._handle = handle
        self._ladder = ladder
        self._threads: list[threading.Thread] = []
        self._busy: set[str] = set()
        self._closing = False

    @property
    def num_busy(self) -> int:
        """Calls that workers have in hand now."""
        return len(self._busy)

    def open(self) -> None:
        """Begins to tell callers that no release is live; returns at once.

        That takes no preparation. It ends by itself once a release is live: from then
        on calls wait in the queue for `start`.
        """
        self._begin("no-release", self._take_without_release)

    def start(
        self, num_workers: int, prepare: Callable[[], None] | None = None
    ) -> None:
        """Starts the workers and returns when each is ready to take its first call.

        A release is live: what `open` began has come to its end, or comes to it now.

        Args:
            num_workers: each runs one call at a time.
            prepare: run once on every worker: what a thread pays at its first call is
                then paid before any caller waits for it.
        """
        ready = threading.Barrier(num_workers + 1)

        def work() -> None:
            _get_ready(prepare)
            ready.wait()
            self._take_all()

        # It may be waiting for a call, and would take one at which it is no worker.
        self._join()
        for number in range(num_workers):
            self._begin(f"worker-{number}", work)
        ready.wait()

    def close(self) -> None:
        """Takes nothing more in, has what waits answered, and joins the workers."""
        self._queue.close()
        self._closing = True
        self._join()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _take_all(self) -> None:
        while self._take_one():
            pass

    def _take_without_release(self) -> None:
        while not self._ladder.has_release and self._take_one():
            pass

    def _take_one(self) -> bool:
        """Answers the next call, or sees that none comes; False once all are done."""
        # Before the look into the queue: none comes after it that the look would miss.
        closing = self._closing
        call = self._queue.take(IDLE_SECONDS)
        if call is None:
            self._ladder.publish_terms()
            return not closing
        name = threading.current_thread().name
        self._busy.add(name)
        try:
            self._handle(call)
        except Exception:  # noqa: BLE001 - see below
            # A worker that ends would be missed by everybody, and never come back.
            _log.exception("a call was lost")
            call.fail(13, "internal error")
        finally:
            self._busy.discard(name)
        return True


def _get_ready(prepare: Callable[[], None] | None) -> None:
    step_back()
    try:
        if prepare is not None:
            prepare()
    except Exception as error:  # noqa: BLE001 - a cold worker is still a worker
        _log.warning("a worker starts cold", error=str(error))
