"""Time as an argument: monotonic for budgets, event for features, wall for records."""

import time
from typing import Protocol


class Clock(Protocol):
    """Three times that never mix. Concurrency: implementations are thread-safe."""

    def monotonic_us(self) -> int:
        """Microseconds that never jump: deadlines, queues, costs."""
        ...

    def event_seconds(self) -> int:
        """Unix seconds in the world of the data: features, freshness, attribution."""
        ...

    def wall_us(self) -> int:
        """Unix microseconds of the machine; may jump. When the log took a line in."""
        ...


class SystemClock:
    """The machine's clock; event time is wall time plus a fixed offset.

    Args:
        event_offset_seconds: added to wall time. A server over historical data starts
            its event time at the data's end: see `starting_at`.
    """

    def __init__(self, event_offset_seconds: int = 0) -> None:
        self._event_offset_seconds = event_offset_seconds

    @classmethod
    def starting_at(cls, event_seconds: int) -> "SystemClock":
        """A clock whose event time is `event_seconds` now and runs at real speed."""
        return cls(event_seconds - int(time.time()))

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1_000

    def event_seconds(self) -> int:
        return int(time.time()) + self._event_offset_seconds

    def wall_us(self) -> int:
        return time.time_ns() // 1_000


class FakeClock:
    """A clock for tests: moves only when told to; wall time is event time."""

    def __init__(self, event_seconds: int = 1_500_000_000) -> None:
        self._now_us = 0
        self._event_origin_seconds = event_seconds

    def advance_us(self, microseconds: int) -> None:
        """Moves all times forward; microseconds >= 0."""
        if microseconds < 0:
            raise ValueError(f"microseconds is {microseconds}, must be >= 0")
        self._now_us += microseconds

    def monotonic_us(self) -> int:
        return self._now_us

    def event_seconds(self) -> int:
        return self._event_origin_seconds + self._now_us // 1_000_000

    def wall_us(self) -> int:
        return self._event_origin_seconds * 1_000_000 + self._now_us
