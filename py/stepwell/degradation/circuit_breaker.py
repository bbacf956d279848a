"""A circuit breaker that knows latency: opens on errors and on slow calls."""

import enum
import threading
from dataclasses import dataclass

from stepwell.base.errors import check_range

MILLION = 1_000_000
_NUM_SLICES = 10


class BreakerState(enum.Enum):
    """CLOSED -> OPEN -> HALF_OPEN -> CLOSED, or back to OPEN from HALF_OPEN."""

    CLOSED = "Every call is let through and its outcome is counted."
    OPEN = "No call is let through; the dependency is given time."
    HALF_OPEN = "A few probes are let through; their outcomes decide."


@dataclass(frozen=True, slots=True)
class BreakerOptions:
    """When to open and how to come back.

    Attributes:
        slow_call_us: a call that takes longer counts as slow.
        max_slow_ppm: opens when more of the window's calls were slow.
        max_error_ppm: opens when more of the window's calls failed.
        min_calls: outcomes needed in the window before it may open.
        window_us: length of the window.
        open_us: time without calls before probes are let through.
        num_probes: probes that must all be good to close again, and may run at once.
    """

    slow_call_us: int
    max_slow_ppm: int = 500_000
    max_error_ppm: int = 500_000
    min_calls: int = 10
    window_us: int = 1_000_000
    open_us: int = 1_000_000
    num_probes: int = 3

    def __post_init__(self) -> None:
        # Up to a call that is never slow.
        check_range("slow_call_us", self.slow_call_us, 1, 1 << 40)
        check_range("max_slow_ppm", self.max_slow_ppm, 0, MILLION)
        check_range("max_error_ppm", self.max_error_ppm, 0, MILLION)
        check_range("min_calls", self.min_calls, 1, MILLION)
        check_range("window_us", self.window_us, _NUM_SLICES, 600 * MILLION)
        check_range("open_us", self.open_us, 1, 600 * MILLION)
        check_range("num_probes", self.num_probes, 1, 1_000)


class Permit:
    """The right to make one call; exactly one of its outcomes must be told."""

    def __init__(self, breaker: "CircuitBreaker", generation: int) -> None:
        self._breaker = breaker
        self._generation = generation

    def success(self, duration_us: int, now_us: int) -> None:
        """The call was answered after `duration_us`; slow ones are counted as such."""
        self._breaker._settle(self._generation, now_us, duration_us, failed=False)

    def drop(self, now_us: int) -> None:
        """The call failed or timed out."""
        self._breaker._settle(self._generation, now_us, 0, failed=True)

    def ignore(self) -> None:
        """The outcome says nothing, such as a caller's mistake or cancellation."""
        self._breaker._return(self._generation)


class CircuitBreaker:
    """One dependency's breaker. Time comes with every call and must not go back.

    Concurrency: thread-safe. Cost: about 1 us a call.
    """

    def __init__(self, options: BreakerOptions) -> None:
        self._options = options
        self._state = BreakerState.CLOSED
        # Outcomes of a call that began in an earlier state are not counted.
        self._generation = 0
        self._opened_us = 0
        self._probes_out = 0
        self._probes_good = 0
        self._window = _OutcomeWindow(options.window_us)
        # While closed, of every call: there is nothing to count before its outcome.
        self._closed_permit: Permit | None = Permit(self, self._generation)
        self._lock = threading.Lock()

    @property
    def options(self) -> BreakerOptions:
        """The options in force."""
        return self._options

    def reconfigure(self, options: BreakerOptions) -> BreakerOptions:
        """Takes other options at once, keeps the state; returns the former ones.

        A window of another length starts empty.
        """
        with self._lock:
            former, self._options = self._options, options
            if options.window_us != former.window_us:
                self._window = _OutcomeWindow(options.window_us)
            return former

    @property
    def is_closed(self) -> bool:
        """True while every call is let through: needs neither the time nor the lock."""
        return self._state is BreakerState.CLOSED

    def state(self, now_us: int) -> BreakerState:
        """Returns the state as of now."""
        with self._lock:
            self._advance(now_us)
            return self._state

    def would_permit(self, now_us: int) -> bool:
        """True when `try_acquire` would succeed; takes nothing."""
        with self._lock:
            self._advance(now_us)
            return self._has_permit()

    def try_acquire(self, now_us: int) -> Permit | None:
        """Returns the right to one call, or None while the dependency is given time."""
        if (permit := self._closed_permit) is not None:
            return permit
        with self._lock:
            self._advance(now_us)
            if not self._has_permit():
                return None
            self._probes_out += self._state is BreakerState.HALF_OPEN
            return Permit(self, self._generation)

    def _has_permit(self) -> bool:
        if self._state is BreakerState.HALF_OPEN:
            return self._probes_out + self._probes_good < self._options.num_probes
        return self._state is BreakerState.CLOSED

    def _advance(self, now_us: int) -> None:
        waited = now_us - self._opened_us >= self._options.open_us
        if self._state is BreakerState.OPEN and waited:
            self._enter(BreakerState.HALF_OPEN, now_us)

    def _enter(self, state: BreakerState, now_us: int) -> None:
        self._state = state
        self._generation += 1
        self._probes_out = self._probes_good = 0
        self._window.clear()
        is_closed = state is BreakerState.CLOSED
        self._closed_permit = Permit(self, self._generation) if is_closed else None
        if state is BreakerState.OPEN:
            self._opened_us = now_us

    def _settle(
        self, generation: int, now_us: int, duration_us: int, *, failed: bool
    ) -> None:
        slow = duration_us > self._options.slow_call_us
        with self._lock:
            if generation != self._generation:
                return
            if self._state is BreakerState.HALF_OPEN:
                self._settle_probe(now_us, good=not (failed or slow))
            else:
                window = self._window
                window.record(now_us, slow=slow, failed=failed)
                if (window.slow or window.failed) and window.is_bad(self._options):
                    self._enter(BreakerState.OPEN, now_us)

    def _settle_probe(self, now_us: int, *, good: bool) -> None:
        self._probes_out -= 1
        self._probes_good += good
        if not good:
            self._enter(BreakerState.OPEN, now_us)
        elif self._probes_good >= self._options.num_probes:
            self._enter(BreakerState.CLOSED, now_us)

    def _return(self, generation: int) -> None:
        with self._lock:
            if generation == self._generation:
                self._probes_out -= self._state is BreakerState.HALF_OPEN


class _OutcomeWindow:
    """Counts of calls, slow calls and errors over a window of time, in slices."""

    def __init__(self, window_us: int) -> None:
        self._slice_us = max(window_us // _NUM_SLICES, 1)
        self.clear()

    def record(self, now_us: int, *, slow: bool, failed: bool) -> None:
        newest = now_us // self._slice_us
        if newest > self._newest:
            self._advance(newest)
        counts = self._slices[self._newest % _NUM_SLICES]
        counts[0] += 1
        counts[1] += slow
        counts[2] += failed
        self._calls += 1
        self.slow += slow
        self.failed += failed

    def is_bad(self, options: BreakerOptions) -> bool:
        """Judges the window as of the last record."""
        if self._calls < options.min_calls:
            return False
        too_slow = self.slow * MILLION > options.max_slow_ppm * self._calls
        return too_slow or self.failed * MILLION > options.max_error_ppm * self._calls

    def clear(self) -> None:
        self._slices = [[0, 0, 0] for _ in range(_NUM_SLICES)]
        self._calls = self.slow = self.failed = 0
        self._newest = 0

    def _advance(self, newest: int) -> None:
        for number in range(
            max(self._newest + 1, newest - _NUM_SLICES + 1), newest + 1
        ):
            leaving = self._slices[number % _NUM_SLICES]
            self._calls -= leaving[0]
            self.slow -= leaving[1]
            self.failed -= leaving[2]
            leaving[:] = (0, 0, 0)
        self._newest = newest
