"""Group commit: appends that wait at the same time share one sync to disk."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from stepwell.base.errors import (
    FailedPreconditionError,
    ResourceExhaustedError,
    StepwellError,
    UnavailableError,
)
from stepwell.stores.event_log import AppendReceipt, EventRecord

Batch = tuple[EventRecord, ...]
CommitGroup = Callable[[Sequence[Batch]], list[AppendReceipt]]
"""Makes batches durable together; returns their receipts in order, or raises."""

_RETRY_AFTER_MS = 50


@dataclass(frozen=True, slots=True)
class GroupCommitOptions:
    """Bounds of the queue and of one commit.

    Attributes:
        max_pending_events: events that may wait; a batch beyond is refused.
        max_pending_bytes: payload bytes that may wait.
        max_group_events: events that share one commit.
    """

    max_pending_events: int = 20_000
    max_pending_bytes: int = 64 << 20
    max_group_events: int = 4_000


@dataclass(frozen=True, slots=True)
class _Pending:
    batch: Batch
    num_bytes: int
    future: "Future[AppendReceipt]"


class GroupCommitter:
    """One thread that commits what has gathered while it was committing.

    No timer: an append into an idle queue is committed at once, and the group grows by
    itself when commits are slow.

    Concurrency: `submit` and `close` from any thread; `commit_group` is called from the
    committer's own thread only.
    """

    def __init__(
        self, commit_group: CommitGroup, options: GroupCommitOptions, name: str
    ) -> None:
        self._commit_group = commit_group
        self._options = options
        self._pending: deque[_Pending] = deque()
        self._pending_events = 0
        self._pending_bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> "Future[AppendReceipt]":
        """Queues a batch.

        Raises:
            ResourceExhaustedError: too much is waiting; nothing was queued.
            FailedPreconditionError: the log is closed.
        """
        num_bytes = sum(len(record.payload) for record in batch)
        pending = _Pending(batch, num_bytes, Future())
        with self._changed:
            self._check_room(pending)
            self._pending.append(pending)
            self._pending_events += len(batch)
            self._pending_bytes += num_bytes
            self._changed.notify()
        return pending.future

    def close(self) -> None:
        """Commits what was submitted, then ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _check_room(self, pending: _Pending) -> None:
        if self._closing:
            raise FailedPreconditionError("the event log is closed")
        events = self._pending_events + len(pending.batch)
        num_bytes = self._pending_bytes + pending.num_bytes
        if (
            events > self._options.max_pending_events
            or num_bytes > self._options.max_pending_bytes
        ):
            raise ResourceExhaustedError(
                f"{self._pending_events} events ({self._pending_bytes} bytes) wait for "
                f"the disk; the queue takes {self._options.max_pending_events}",
                _RETRY_AFTER_MS,
            )

    def _run(self) -> None:
        while group := self._next_group():
            # From here on a cancel comes too late; cancelled ones are left out.
            taken = [p for p in group if p.future.set_running_or_notify_cancel()]
            if taken:
                self._commit(taken)

    def _next_group(self) -> list[_Pending]:
        with self._changed:
            while not self._pending and not self._closing:
                self._changed.wait()
            group: list[_Pending] = []
            room = self._options.max_group_events
            while self._pending and (not group or len(self._pending[0].batch) <= room):
                pending = self._pending.popleft()
                room -= len(pending.batch)
                self._pending_events -= len(pending.batch)
                self._pending_bytes -= pending.num_bytes
                group.append(pending)
            return group

    def _commit(self, taken: list[_Pending]) -> None:
        try:
            receipts = self._commit_group([pending.batch for pending in taken])
        except StepwellError as error:
            self._fail(taken, error)
        # The thread outlives a bug, and its callers hear of it.
        except Exception as error:  # noqa: BLE001
            self._fail(taken, UnavailableError(f"event log: {error!r}"))
        else:
            for pending, receipt in zip(taken, receipts, strict=True):
                pending.future.set_result(receipt)

    @staticmethod
    def _fail(taken: list[_Pending], error: StepwellError) -> None:
        for pending in taken:
            pending.future.set_exception(error)
