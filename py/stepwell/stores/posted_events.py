"""Events that nobody waits for: they gather, and one thread appends them in groups."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from stepwell.base.errors import StepwellError
from stepwell.stores.event_log import AppendReceipt, EventRecord, PostedCounts


@dataclass(frozen=True, slots=True)
class PostOptions:
    """Bounds of the queue and of one append.

    Attributes:
        max_pending_events: events that may wait; one more is refused.
        max_pending_bytes: payload bytes that may wait.
        max_group_events: events of one append.
        linger_seconds: how long the first event of a group waits for others, > 0. A
            kill loses at most that much.
    """

    max_pending_events: int = 10_000
    max_pending_bytes: int = 64 << 20
    # The largest slates, 2,000 items with long ids, are half a MiB each.
    max_group_events: int = 64
    linger_seconds: float = 0.05


class PostedEvents:
    """A bounded queue before an append that waits for the disk.

    Args:
        append: makes events durable, all or nothing, or raises a StepwellError.

    Concurrency: every method from any thread; `append` is called from one own thread.
    """

    def __init__(
        self,
        append: Callable[[Sequence[EventRecord]], AppendReceipt],
        options: PostOptions,
    ) -> None:
        self._append = append
        self._options = options
        self._pending: deque[EventRecord] = deque()
        self._pending_bytes = 0
        self._counts = PostedCounts(0, 0, 0)
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="posted-events")
        self._thread.daemon = True
        self._thread.start()

    def post(self, record: EventRecord) -> bool:
        """Queues an event; False when too much waits or the queue is closed."""
        with self._changed:
            num_bytes = self._pending_bytes + len(record.payload)
            if (
                self._closing
                or len(self._pending) == self._options.max_pending_events
                or num_bytes > self._options.max_pending_bytes
            ):
                return False
            self._pending.append(record)
            self._pending_bytes = num_bytes
            # A thread that wakes for every event takes the processor from who posts.
            if len(self._pending) in (1, self._options.max_group_events):
                self._changed.notify()
            return True

    def counts(self) -> PostedCounts:
        """Returns what has become of events so far."""
        with self._changed:
            return self._counts

    def close(self) -> None:
        """Appends what is queued, then ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            counts = self._appended(group)
            with self._changed:
                self._counts = counts

    def _next_group(self) -> list[EventRecord]:
        with self._changed:
            while not self._pending and not self._closing:
                self._changed.wait()
            if not self._group_is_full() and not self._closing:
                self._changed.wait(self._options.linger_seconds)
            number = min(len(self._pending), self._options.max_group_events)
            group = [self._pending.popleft() for _ in range(number)]
            self._pending_bytes -= sum(len(record.payload) for record in group)
            return group

    def _group_is_full(self) -> bool:
        return len(self._pending) >= self._options.max_group_events

    def _appended(self, group: list[EventRecord]) -> PostedCounts:
        before = self._counts
        try:
            receipt = self._append(group)
        except StepwellError as error:
            num_lost = before.num_lost + len(group)
            return replace(before, num_lost=num_lost, last_loss=str(error))
        return replace(
            before,
            num_stored=before.num_stored + receipt.num_stored,
            num_duplicates=before.num_duplicates + receipt.num_duplicates,
        )
