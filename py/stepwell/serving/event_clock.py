"""The server's clock: event time may begin where the release's data ends."""

import time


class EventClock:
    """Monotonic and wall time, and event time that is set forward, never back.

    Args:
        follows_releases: False keeps event time at wall time. True lets it begin at the
            first live release's data watermark and run from there at real speed, so
            that features of historical data are as old as they were meant to be.

    Concurrency: thread-safe; `advance_to` from one thread.
    """

    def __init__(self, *, follows_releases: bool) -> None:
        self._follows_releases = follows_releases
        self._offset_seconds: int | None = None

    def monotonic_us(self) -> int:
        """Microseconds that never jump."""
        return time.monotonic_ns() // 1_000

    def event_seconds(self) -> int:
        """Unix seconds in the world of the data."""
        return int(time.time()) + (self._offset_seconds or 0)

    def wall_us(self) -> int:
        """Unix microseconds of the machine, whatever the data's time is."""
        return time.time_ns() // 1_000

    def advance_to(self, watermark_seconds: int) -> None:
        """Tells of a release's data watermark: event time is at least that from now on.

        The first watermark sets event time, forward or back; later ones only forward.
        """
        if not self._follows_releases:
            return
        offset = watermark_seconds - int(time.time())
        held = self._offset_seconds
        self._offset_seconds = offset if held is None else max(offset, held)
