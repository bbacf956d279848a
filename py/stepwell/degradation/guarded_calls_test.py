"""Calls behind a breaker: what each outcome tells it."""

import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.degradation.circuit_breaker import (
    BreakerOptions,
    BreakerState,
    CircuitBreaker,
)
from stepwell.degradation.guarded_calls import GuardedCalls


class _Dependency:
    """Answers or fails after some time on a fake clock, behind a breaker."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        options = BreakerOptions(slow_call_us=5_000, min_calls=4, num_probes=1)
        self.breaker = CircuitBreaker(options)
        self.guarded = GuardedCalls("toy", self.breaker, self.clock)
        self.takes_us = 100
        self.error: Exception | None = None
        self.num_asked = 0

    def ask(self) -> str:
        self.num_asked += 1
        self.clock.advance_us(self.takes_us)
        if self.error is not None:
            raise self.error
        return "answer"

    def call(self, short_below_us: int = 0) -> str:
        return self.guarded.call(self.ask, lambda took_us: took_us < short_below_us)

    def fail(self, error: Exception, times: int, short_below_us: int = 0) -> None:
        self.error = error
        for _ in range(times):
            with pytest.raises(type(error)):
                self.call(short_below_us)
        self.error = None

    def state(self) -> BreakerState:
        return self.breaker.state(self.clock.monotonic_us())


def test_an_answer_is_passed_on() -> None:
    assert _Dependency().call() == "answer"


def test_failures_open_the_breaker_and_then_nobody_asks() -> None:
    toy = _Dependency()
    toy.fail(UnavailableError("gone"), times=4)
    with pytest.raises(UnavailableError, match="the toy's breaker is open"):
        toy.call()
    assert toy.num_asked == 4


def test_slow_answers_open_the_breaker() -> None:
    toy = _Dependency()
    toy.takes_us = 5_001
    assert [toy.call() for _ in range(4)] == ["answer"] * 4
    assert toy.state() is BreakerState.OPEN


def test_a_call_that_was_short_tells_nothing() -> None:
    toy = _Dependency()
    toy.fail(UnavailableError("late"), times=5, short_below_us=101)
    assert toy.state() is BreakerState.CLOSED


def test_the_time_that_a_call_took_says_whether_it_was_short() -> None:
    toy = _Dependency()
    toy.fail(UnavailableError("late"), times=4, short_below_us=100)
    assert toy.state() is BreakerState.OPEN


def test_an_error_of_the_caller_gives_a_probe_back() -> None:
    toy = _Dependency()
    toy.fail(UnavailableError("gone"), times=4)
    toy.clock.advance_us(1_000_000)
    toy.fail(InvalidArgumentError("bad key"), times=3)
    assert toy.state() is BreakerState.HALF_OPEN
    assert toy.call() == "answer"
    assert toy.state() is BreakerState.CLOSED
