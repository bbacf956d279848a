"""The guarded store: reads stop while the store is ill, and come back."""

from collections.abc import Mapping, Sequence

import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.degradation.circuit_breaker import (
    BreakerOptions,
    BreakerState,
    CircuitBreaker,
)
from stepwell.serving.guarded_store import GuardedStore
from stepwell.stores.key_value_store import Guard


class _Store:
    """Answers in a given time on a fake clock, or fails."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.takes_us = 100
        self.error: Exception | None = None
        self.num_reads = 0
        self.written: dict[str, bytes] = {}

    def get_many(
        self, view: str, keys: Sequence[str], timeout_us: int | None = None
    ) -> list[bytes | None]:
        return self.get_rows([(view, key) for key in keys], timeout_us)

    def get_rows(
        self, rows: Sequence[tuple[str, str]], timeout_us: int | None = None
    ) -> list[bytes | None]:
        self.num_reads += 1
        self.clock.advance_us(self.takes_us)
        if self.error is not None:
            raise self.error
        return [b"x" for _ in rows]

    def put_many(self, view: str, values: Mapping[str, bytes]) -> None:
        self.written.update(values)

    def write_if(
        self, guard: Guard, changes: Mapping[str, Mapping[str, bytes]]
    ) -> bool:
        return True

    def close(self) -> None:
        self.written.clear()


def _guarded() -> tuple[GuardedStore, _Store, CircuitBreaker]:
    store = _Store(FakeClock())
    breaker = CircuitBreaker(BreakerOptions(slow_call_us=5_000))
    return GuardedStore(store, breaker, store.clock), store, breaker


def _read(guarded: GuardedStore) -> None:
    guarded.get_many("user_history", ["u"])


def test_ten_failures_stop_the_reads_until_the_store_had_its_time() -> None:
    guarded, store, breaker = _guarded()
    store.error = UnavailableError("gone")
    for _ in range(15):
        with pytest.raises(UnavailableError):
            _read(guarded)
    assert store.num_reads == 10
    store.error = None
    store.clock.advance_us(1_000_000)
    for _ in range(3):
        _read(guarded)
    assert breaker.state(store.clock.monotonic_us()) is BreakerState.CLOSED


def test_slow_answers_stop_the_reads() -> None:
    guarded, store, breaker = _guarded()
    store.takes_us = 6_000
    for _ in range(10):
        _read(guarded)
    with pytest.raises(UnavailableError, match="breaker is open"):
        _read(guarded)
    assert breaker.state(store.clock.monotonic_us()) is BreakerState.OPEN


def test_a_mistake_of_the_caller_says_nothing_of_the_store() -> None:
    guarded, store, _ = _guarded()
    store.error = InvalidArgumentError("bad key")
    for _ in range(20):
        with pytest.raises(InvalidArgumentError):
            _read(guarded)
    assert store.num_reads == 20


def test_a_caller_without_time_is_told_so_and_the_store_is_left_alone() -> None:
    guarded, store, _ = _guarded()
    with pytest.raises(UnavailableError, match="no time is left"):
        guarded.get_many("user_history", ["u"], timeout_us=0)
    assert store.num_reads == 0


def _read_in_vain(guarded: GuardedStore, timeout_us: int, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(UnavailableError):
            guarded.get_many("user_history", ["u"], timeout_us)


def test_reads_that_had_a_slow_calls_time_are_judged() -> None:
    guarded, store, breaker = _guarded()
    store.error = UnavailableError("late")
    _read_in_vain(guarded, 5_000, times=10)
    assert breaker.state(store.clock.monotonic_us()) is BreakerState.OPEN


def test_short_reads_of_a_busy_machine_do_not_stop_the_store() -> None:
    guarded, store, breaker = _guarded()
    for _ in range(20):
        store.error = UnavailableError("late")
        _read_in_vain(guarded, 1_000, times=4)
        store.error = None
        _read(guarded)
    assert breaker.state(store.clock.monotonic_us()) is BreakerState.CLOSED


def test_short_reads_that_nobody_answers_stop_the_store() -> None:
    guarded, store, breaker = _guarded()
    store.error = UnavailableError("late")
    _read_in_vain(guarded, 1_000, times=14)
    assert breaker.state(store.clock.monotonic_us()) is BreakerState.CLOSED
    _read_in_vain(guarded, 1_000)
    assert breaker.state(store.clock.monotonic_us()) is BreakerState.OPEN


def test_writes_pass_while_reads_are_stopped() -> None:
    guarded, store, _ = _guarded()
    store.error = UnavailableError("gone")
    for _ in range(10):
        with pytest.raises(UnavailableError):
            _read(guarded)
    guarded.put_many("user_history", {"u": b"new"})
    assert guarded.write_if(Guard("v", "k", None), {})
    assert store.written == {"u": b"new"}
    guarded.close()
    assert store.written == {}
