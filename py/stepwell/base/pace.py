"""Work in the background at a share of a core, in steps with rests between them."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from stepwell.base.errors import CancelledError

T = TypeVar("T")

_SHORTEST_SECONDS = 0.0005
_LONGEST_REST_SECONDS = 0.5


class Pace:
    """Has a thread rest after each step, in proportion to the processor time it took.

    A request then meets a step, not the whole work; and a step is what it waits for at
    most when it wants the interpreter.

    Args:
        share: of one core, in (0, 1]; 1 never rests.
        rest: sleeps so many seconds.
        used: processor time of the calling thread, seconds.

    Concurrency: each thread has its own account.
    """

    def __init__(
        self,
        share: float = 1.0,
        rest: Callable[[float], object] = time.sleep,
        used: Callable[[], float] = time.thread_time,
    ) -> None:
        self.keep_to(share)
        self._rest = rest
        self._used = used
        self._own = threading.local()
        self._cancelled = False

    def keep_to(self, share: float) -> None:
        """Changes the share."""
        if not 0.0 < share <= 1.0:
            raise ValueError(f"share is {share}, must be in (0, 1]")
        self._rests_a_second = 1.0 / share - 1.0

    def cancel(self) -> None:
        """Ends the work at its next step, from any thread."""
        self._cancelled = True

    def begin(self) -> None:
        """Starts the calling thread's account: what it did before is not rested for."""
        self._own.since = self._used()

    def step(self) -> None:
        """Ends a step: rests for what the thread did since the last one.

        Raises:
            CancelledError: the work is to end here.
        """
        if self._cancelled:
            raise CancelledError("the work in the background was cancelled")
        used = self._used()
        spent = used - getattr(self._own, "since", used)
        if spent < _SHORTEST_SECONDS or not self._rests_a_second:
            return
        self._rest(min(spent * self._rests_a_second, _LONGEST_REST_SECONDS))
        self._own.since = self._used()

    def after(self, made: T) -> T:
        """Ends the step that made a value; returns it."""
        self.step()
        return made


AT_ONCE = Pace()
"""Never rests, and cannot be cancelled: nobody waits for anything else."""
