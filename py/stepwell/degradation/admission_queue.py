"""The bounded queue before the workers: we own it, so we see its age."""

import enum
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


class Priority(enum.IntEnum):
    """Which request goes first; a lower number goes first."""

    INTERACTIVE = 0
    """A person is waiting."""
    PREFETCH = 1
    """A person will probably ask soon."""
    BATCH = 2
    """Nobody is waiting."""

    @property
    def label(self) -> str:
        """Lower-case name for metrics."""
        return self.name.lower()


@dataclass(slots=True, eq=False)
class Ticket(Generic[T]):
    """One request in the queue.

    Attributes:
        payload: what the worker needs.
        arrived_us: monotonic time of arrival at the server.
        deadline_us: monotonic time past which nobody listens.
        user_draw: hash of the user in [0, 1e6); ties go to the lower one.
        abandoned: the caller has gone (`AdmissionQueue.abandon`); never handed out.
        waiting: it is in the queue; the queue's own note.
    """

    payload: T
    arrived_us: int
    deadline_us: int
    priority: Priority = Priority.INTERACTIVE
    user_draw: int = 0
    abandoned: bool = field(default=False, init=False)
    waiting: bool = field(default=False, init=False)


class AdmissionQueue(Generic[T]):
    """First by priority, then by arrival; bounded.

    Args:
        max_size: requests that may wait, >= 1.

    Concurrency: thread-safe; one or many takers.
    Cost: `offer` and `take` about 1 us; O(max_size) only when the queue is full.
    """

    def __init__(self, max_size: int) -> None:
        if max_size < 1:
            raise ValueError(f"max_size is {max_size}, must be >= 1")
        self._max_size = max_size
        self._lanes: dict[Priority, deque[Ticket[T]]] = {p: deque() for p in Priority}
        # Without the abandoned ones, which still lie in their lanes.
        self._num_live = dict.fromkeys(Priority, 0)
        self._size = 0
        self._closed = False
        self._changed = threading.Condition(threading.Lock())

    def __len__(self) -> int:
        return self._size

    def offer(self, ticket: Ticket[T]) -> Ticket[T] | None:
        """Puts the ticket in; returns the one that has no place, None when all have.

        When full, the lowest priority gives way, and within it the highest user draw,
        so that under lasting pressure the same sessions are served well. The ticket
        returned is in nobody's hands but the caller's; it may be the one offered.
        """
        with self._changed:
            if self._closed:
                return ticket
            self._lanes[ticket.priority].append(ticket)
            self._size += 1
            ticket.waiting = True
            self._num_live[ticket.priority] += 1
            displaced = self._displace() if self._size > self._max_size else None
            self._changed.notify()
            return displaced

    def take(self, timeout_seconds: float | None = None) -> Ticket[T] | None:
        """Waits for the next ticket; None on timeout or once closed and empty."""
        with self._changed:
            while True:
                ticket = self._pop()
                if ticket is not None or self._closed:
                    return ticket
                if not self._changed.wait(timeout_seconds):
                    return None

    def close(self) -> None:
        """Takes nothing more in; what waits is still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self, ticket: Ticket[T]) -> bool:
        """Notes that the ticket's caller has gone: nobody serves it or waits for it.

        Returns:
            True when it was waiting: no taker has it, and none will.
        """
        with self._changed:
            was_waiting = ticket.waiting and not ticket.abandoned
            if was_waiting:
                self._num_live[ticket.priority] -= 1
            ticket.abandoned = True
            return was_waiting

    def num_ahead(self, priority: Priority) -> int:
        """Returns how many tickets would be taken before a new one of this priority.

        Those of a lower priority give way and those of callers who have gone are not
        served: neither counts.
        """
        return sum(self._num_live[lane] for lane in Priority if lane <= priority)

    def oldest_age_us(self, now_us: int) -> int:
        """Returns the age of the ticket that has waited longest, 0 when empty."""
        with self._changed:
            heads = [lane[0].arrived_us for lane in self._lanes.values() if lane]
        return now_us - min(heads) if heads else 0

    def lengths(self) -> dict[Priority, int]:
        """Returns the number of waiting tickets by priority, no abandoned ones."""
        return dict(self._num_live)

    def _pop(self) -> Ticket[T] | None:
        for lane in self._lanes.values():
            while lane:
                ticket = lane.popleft()
                self._left(ticket)
                if not ticket.abandoned:
                    return ticket
        return None

    def _displace(self) -> Ticket[T]:
        lane = next(self._lanes[p] for p in reversed(Priority) if self._lanes[p])
        # An abandoned one costs nobody an answer; else the highest draw, the newest.
        place = max(
            range(len(lane)), key=lambda i: (lane[i].abandoned, lane[i].user_draw, i)
        )
        ticket = lane[place]
        del lane[place]
        self._left(ticket)
        return ticket

    def _left(self, ticket: Ticket[T]) -> None:
        self._size -= 1
        ticket.waiting = False
        if not ticket.abandoned:
            self._num_live[ticket.priority] -= 1
