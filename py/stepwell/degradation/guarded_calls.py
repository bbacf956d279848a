"""Calls to one dependency, each behind its breaker, which learns from every outcome."""

from collections.abc import Callable
from typing import TypeVar

from stepwell.base.clock import Clock
from stepwell.base.errors import UnavailableError
from stepwell.degradation.circuit_breaker import CircuitBreaker
from stepwell.degradation.short_calls import ShortCalls

T = TypeVar("T")


class GuardedCalls:
    """Makes calls while the breaker lets them through, and tells it what came of each.

    UnavailableError speaks of the dependency, unless the call had too little time (see
    ShortCalls); any other error is its caller's matter and says nothing.

    Args:
        what: the dependency, for the text of the error.
        breaker: of the dependency; others may read it.
        clock: durations are taken from it.

    Concurrency: thread-safe where the calls are. Cost: about 2 us a call.
    """

    def __init__(self, what: str, breaker: CircuitBreaker, clock: Clock) -> None:
        self._what = what
        self._breaker = breaker
        self._clock = clock
        self._short_calls = ShortCalls()

    def call(self, ask: Callable[[], T], was_short: Callable[[int], bool]) -> T:
        """Returns what `ask` returns, and passes on what it raises.

        Args:
            ask: the call.
            was_short: of one that was not answered, given its microseconds: whether it
                had less time than the dependency may take.
        Raises:
            UnavailableError: the breaker is open; `ask` was not called.
        """
        started_us = self._clock.monotonic_us()
        permit = self._breaker.try_acquire(started_us)
        if permit is None:
            raise UnavailableError(f"the {self._what}'s breaker is open")
        try:
            answer = ask()
        except UnavailableError:
            now_us = self._clock.monotonic_us()
            is_short = was_short(now_us - started_us)
            if self._short_calls.unanswered(is_short=is_short):
                permit.drop(now_us)
            else:
                permit.ignore()
            raise
        except BaseException:
            permit.ignore()
            raise
        self._short_calls.answered()
        now_us = self._clock.monotonic_us()
        permit.success(now_us - started_us, now_us)
        return answer
