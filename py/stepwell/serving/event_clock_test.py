"""Event time follows releases when it is told to, and never goes back."""

import time

import pytest

from stepwell.serving.event_clock import EventClock


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    now = {"seconds": 2_000_000_000.0}
    monkeypatch.setattr(time, "time", lambda: now["seconds"])
    return now


def test_is_wall_time_unless_it_follows_releases(wall: dict[str, float]) -> None:
    clock = EventClock(follows_releases=False)
    clock.advance_to(1_500_000_000)
    assert clock.event_seconds() == 2_000_000_000


def test_begins_at_the_first_watermark_and_runs_at_real_speed(
    wall: dict[str, float],
) -> None:
    clock = EventClock(follows_releases=True)
    clock.advance_to(1_500_000_000)
    wall["seconds"] += 90
    assert clock.event_seconds() == 1_500_000_090


def test_an_older_watermark_does_not_turn_time_back(wall: dict[str, float]) -> None:
    clock = EventClock(follows_releases=True)
    clock.advance_to(1_500_000_000)
    clock.advance_to(1_400_000_000)
    assert clock.event_seconds() == 1_500_000_000
    clock.advance_to(1_500_086_400)
    assert clock.event_seconds() == 1_500_086_400


def test_monotonic_time_ignores_the_wall(wall: dict[str, float]) -> None:
    clock = EventClock(follows_releases=True)
    before = clock.monotonic_us()
    wall["seconds"] -= 3_600
    assert clock.monotonic_us() >= before
