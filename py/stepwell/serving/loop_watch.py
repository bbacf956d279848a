"""How late the event loop runs: the wait that no queue of ours can see."""

import asyncio
import selectors
import time
from collections.abc import Callable

_Events = list[tuple[selectors.SelectorKey, int]]


def _now_us() -> int:
    return time.monotonic_ns() // 1_000


_EMPTY_AFTER_PASSES = 8
"""While calls wait gRPC hands one over at every second or third pass of the loop."""


class LoopWatch(selectors.DefaultSelector):
    """The selector of an event loop, which notes since when calls may wait for it.

    A call that comes while the loop is busy waits where nobody can count it: in the
    socket, and in gRPC's own list. It has not waited longer than since the loop last
    rested, for a loop that rests has taken everything in; nor longer than since it made
    some passes in a row without a call, for then there was none to hand over.

    Args:
        most_us: the longest wait to speak of: gRPC's list has an end.
        now_us: monotonic time, that of the ranker's clock.

    Concurrency: `lag_us` from any thread; the rest is the loop's.
    Cost: one more system call when the loop goes to rest, 0.2 us when it does not.
    """

    def __init__(
        self, most_us: int = 20_000, now_us: Callable[[], int] = _now_us
    ) -> None:
        super().__init__()
        self._most_us = most_us
        self._now_us = now_us
        self._none_waited_us = now_us()
        self._passes = 0
        self._rests = False

    def select(self, timeout: float | None = None) -> _Events:
        """Returns what is ready; waits up to `timeout` seconds, None for ever."""
        events = super().select(0)
        if not events and (timeout is None or timeout > 0):
            self._rests = True
            events = super().select(timeout)
            self._none_waited_us = self._now_us()
            self._rests = False
        self._passes += 1
        if self._passes >= _EMPTY_AFTER_PASSES:
            self._none_waited_us = self._now_us()
        return events

    def lag_us(self) -> int:
        """Returns how long the call that is handled now may have waited, at most.

        Asked once a call: that is how passes without one are known.
        """
        self._passes = 0
        if self._rests:
            return 0
        return min(self._now_us() - self._none_waited_us, self._most_us)


def watched_loop(watch: LoopWatch) -> asyncio.AbstractEventLoop:
    """Returns a new event loop that waits in `watch`."""
    return asyncio.SelectorEventLoop(watch)
