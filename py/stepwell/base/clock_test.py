"""Clocks and deadlines."""

import time

import pytest

from stepwell.base.clock import FakeClock, SystemClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    check_range,
)


def test_event_time_starts_where_told_and_runs_at_real_speed() -> None:
    clock = SystemClock.starting_at(1_511_654_400)
    assert 0 <= clock.event_seconds() - 1_511_654_400 <= 2
    assert abs(SystemClock().event_seconds() - time.time()) <= 2


def test_monotonic_time_is_microseconds() -> None:
    before = time.monotonic_ns() // 1_000
    assert 0 <= SystemClock().monotonic_us() - before < 1_000_000


def test_fake_clock_moves_only_when_told() -> None:
    clock = FakeClock(event_seconds=10)
    assert clock.monotonic_us() == clock.monotonic_us() == 0
    clock.advance_us(2_500_000)
    assert (clock.monotonic_us(), clock.event_seconds()) == (2_500_000, 12)
    with pytest.raises(ValueError, match="must be >= 0"):
        clock.advance_us(-1)


def test_deadline_counts_down_and_expires() -> None:
    clock = FakeClock()
    deadline = Deadline.after_us(clock, 1_000)
    clock.advance_us(400)
    assert deadline.remaining_us() == 600
    deadline.check("ranking")
    clock.advance_us(700)
    assert deadline.expired()
    with pytest.raises(DeadlineExceededError, match="ranking: deadline passed 100 us"):
        deadline.check("ranking")


def test_a_share_never_outlives_the_whole() -> None:
    clock = FakeClock()
    whole = Deadline.after_us(clock, 1_000)
    assert whole.sooner_us(300).remaining_us() == 300
    assert whole.sooner_us(5_000).remaining_us() == 1_000


def test_check_range_names_field_value_and_range() -> None:
    assert check_range("k", 5, 1, 10) == 5
    with pytest.raises(
        InvalidArgumentError, match=r"k is 0, must be in \[1, 10\]"
    ) as caught:
        check_range("k", 0, 1, 10)
    assert caught.value.field == "k"
