"""The breaker's chain of states, by fed outcomes and fed time."""

from collections.abc import Callable

import pytest

from stepwell.degradation.circuit_breaker import (
    BreakerOptions,
    BreakerState,
    CircuitBreaker,
    Permit,
)

OPTIONS = BreakerOptions(slow_call_us=5_000)
CLOSED, OPEN, HALF_OPEN = BreakerState


def _call(
    breaker: CircuitBreaker, now_us: int, outcome: Callable[[Permit], None]
) -> None:
    permit = breaker.try_acquire(now_us)
    assert permit is not None
    outcome(permit)


def _good(permit: Permit) -> None:
    permit.success(100, now_us=0)


def _slow(permit: Permit) -> None:
    permit.success(5_001, now_us=0)


def _failed(permit: Permit) -> None:
    permit.drop(now_us=0)


def _opened() -> CircuitBreaker:
    breaker = CircuitBreaker(OPTIONS)
    for _ in range(10):
        _call(breaker, 0, _failed)
    assert breaker.state(0) is OPEN
    return breaker


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([_failed] * 9, CLOSED),  # too few to judge
        ([_failed] * 10, OPEN),
        ([_slow] * 10, OPEN),
        ([_good] * 5 + [_failed] * 5, CLOSED),  # half is not more than half
        ([_good] * 5 + [_failed] * 6, OPEN),
        ([_good] * 5 + [_slow] * 6, OPEN),
        ([_good] * 20 + [_failed] * 10 + [_slow] * 10, CLOSED),
        ([lambda permit: permit.ignore()] * 50, CLOSED),
    ],
)
def test_opens_on_a_bad_share_of_enough_calls(
    outcomes: list[Callable[[Permit], None]], expected: BreakerState
) -> None:
    breaker = CircuitBreaker(OPTIONS)
    for outcome in outcomes:
        permit = breaker.try_acquire(0)
        if permit is not None:
            outcome(permit)
    assert breaker.state(0) is expected


def test_lets_nothing_through_while_open() -> None:
    breaker = _opened()
    assert breaker.try_acquire(999_999) is None
    assert not breaker.would_permit(999_999)


def test_lets_a_bounded_number_of_probes_through_when_half_open() -> None:
    breaker = _opened()
    permits = [breaker.try_acquire(1_000_000) for _ in range(5)]
    assert [permit is not None for permit in permits] == [True] * 3 + [False] * 2
    assert breaker.state(1_000_000) is HALF_OPEN


def test_closes_after_all_probes_were_good() -> None:
    breaker = _opened()
    for expected in (HALF_OPEN, HALF_OPEN, CLOSED):
        _call(breaker, 1_000_000, _good)
        assert breaker.state(1_000_000) is expected


@pytest.mark.parametrize("bad", [_failed, _slow])
def test_one_bad_probe_opens_again_for_the_full_time(
    bad: Callable[[Permit], None],
) -> None:
    breaker = _opened()
    permit = breaker.try_acquire(1_000_000)
    assert permit is not None
    if bad is _failed:
        permit.drop(1_200_000)
    else:
        permit.success(200_000, 1_200_000)
    assert breaker.state(2_199_999) is OPEN
    assert breaker.state(2_200_000) is HALF_OPEN


def test_an_ignored_probe_gives_its_place_back() -> None:
    breaker = _opened()
    for _ in range(10):
        _call(breaker, 1_000_000, lambda permit: permit.ignore())
    assert breaker.would_permit(1_000_000)


def test_outcomes_of_calls_from_before_it_opened_are_not_counted() -> None:
    breaker = CircuitBreaker(OPTIONS)
    early = [breaker.try_acquire(0) for _ in range(30)]
    for permit in early[:10]:
        assert permit is not None
        permit.drop(0)
    assert breaker.state(1_000_000) is HALF_OPEN
    for permit in early[10:]:
        assert permit is not None
        permit.success(1, 1_000_000)
    assert breaker.state(1_000_000) is HALF_OPEN


def test_old_errors_leave_the_window() -> None:
    breaker = CircuitBreaker(OPTIONS)
    for _ in range(9):
        _call(breaker, 0, _failed)
    permit = breaker.try_acquire(1_100_000)
    assert permit is not None
    permit.drop(1_100_000)
    assert breaker.state(1_100_000) is CLOSED


def test_takes_other_options_and_keeps_its_state() -> None:
    breaker = CircuitBreaker(BreakerOptions(slow_call_us=1_000, min_calls=2))
    former = breaker.options
    strict = BreakerOptions(slow_call_us=100, min_calls=2, open_us=5_000)
    assert breaker.reconfigure(strict) == former
    for _ in range(2):
        permit = breaker.try_acquire(0)
        assert permit is not None
        permit.success(200, 0)
    assert not breaker.is_closed
    assert breaker.reconfigure(former) == strict
    assert breaker.state(4_999) is BreakerState.OPEN
    assert breaker.state(1_000_000) is BreakerState.HALF_OPEN
