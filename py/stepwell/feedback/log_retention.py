"""How long the event log remembers: what is applied, and old or too much, goes."""

import sys

import structlog

from stepwell.base.clock import Clock
from stepwell.base.errors import DataLossError
from stepwell.base.metric_names import EVENT_LOG_SIZE, EVENTS_TRIMMED
from stepwell.base.metrics import Metrics
from stepwell.feedback.logged_events import decoded
from stepwell.stores.event_log import EventLog, StoredEvent

_log = structlog.get_logger(__name__)

DEFAULT_KEEP_DAYS = 30
DEFAULT_MAX_BYTES = 12 << 30
"""Three quarters of what an embedded log has room for: a full one takes no event."""

_DAY_US = 86_400 * 1_000_000
_INTERVAL_US = 60 * 1_000_000
# A trim holds the log's writers up while it runs; so many lines take milliseconds.
_BATCH_EVENTS = 1_000
_MAX_BATCHES = 20


class EventLogRetention:
    """Trims lines that the log took in more than `keep_days` ago, and the oldest ones
    while it is larger than `max_bytes`.

    Nothing at or behind the consumer's offset goes, however old. With a line goes its
    id: a producer that sends the event again after that time stores it again. State
    imported later lacks what was trimmed; training has it in its data by then.

    Args:
        keep_days: age by the wall time at which the log took a line in.
        max_bytes: of the log's events and ids.

    Concurrency: one thread.
    Cost: a read of one line when nothing is old.
    """

    def __init__(
        self,
        log: EventLog,
        clock: Clock,
        metrics: Metrics,
        keep_days: int = DEFAULT_KEEP_DAYS,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        self._event_log = log
        self._clock = clock
        self._metrics = metrics
        self._keep_us = keep_days * _DAY_US
        self._max_bytes = max_bytes
        self._due_us = clock.monotonic_us()

    def trim_when_due(self, consumed_offset: int | None) -> int:
        """Once a minute: trims, and sets the gauge of the log's size.

        Args:
            consumed_offset: first offset that the consumer still wants; None while
                that is unknown, and nothing is trimmed.
        Returns:
            Lines forgotten; at most 20,000 a call, and the next call goes on.
        Raises:
            StepwellError: the log cannot be read or written; tried again in a minute.
        """
        now_us = self._clock.monotonic_us()
        if now_us < self._due_us:
            return 0
        self._due_us = now_us + _INTERVAL_US
        num_trimmed = self._trim(consumed_offset or 0)
        if num_trimmed >= _MAX_BATCHES * _BATCH_EVENTS:
            self._due_us = now_us
        self._metrics.add(EVENTS_TRIMMED, amount=num_trimmed)
        self._metrics.set(EVENT_LOG_SIZE, self._event_log.size_bytes())
        return num_trimmed

    def _trim(self, consumed_offset: int) -> int:
        is_large = self._is_large()
        num_trimmed = 0
        for _ in range(_MAX_BATCHES):
            oldest_us = self._oldest_kept_us()
            first = self._event_log.first_offset()
            end = min(first + _BATCH_EVENTS, consumed_offset)
            kept = self._first_young(first, end, oldest_us)
            if kept <= first:
                break
            num_trimmed += self._event_log.trim(kept)
        if is_large:
            _log.warning(
                "the event log is larger than it may be",
                max_bytes=self._max_bytes,
                num_forgotten=num_trimmed,
            )
        return num_trimmed

    def _is_large(self) -> bool:
        return self._event_log.size_bytes() > self._max_bytes

    def _oldest_kept_us(self) -> int:
        """Returns the time before which lines go; all do while there are too many."""
        if self._is_large():
            return sys.maxsize
        return self._clock.wall_us() - self._keep_us

    def _first_young(self, first: int, end: int, oldest_us: int) -> int:
        """Returns the first offset in [first, end) whose line stays, else `end`."""
        # Nearly always the first line is young, and no more than it is read.
        for start, stop in ((first, min(first + 1, end)), (first + 1, end)):
            for offset, taken_in_us in enumerate(self._times_us(start, stop), start):
                # What tells no time goes with the lines before it.
                if taken_in_us is not None and taken_in_us >= oldest_us:
                    return offset
        return end

    def _times_us(self, start: int, end: int) -> list[int | None]:
        """Returns when the log took in each line; None for one that is damaged."""
        if start >= end:
            return []
        try:
            return [_time_us(line) for line in self._event_log.read(start, end - start)]
        except DataLossError:
            if end - start == 1:
                return [None]
        # It names no line: those of each half are looked at by themselves.
        middle = (start + end) // 2
        return self._times_us(start, middle) + self._times_us(middle, end)


def _time_us(stored: StoredEvent) -> int | None:
    try:
        return decoded(stored).ingestion_time_us
    except DataLossError:
        return None
