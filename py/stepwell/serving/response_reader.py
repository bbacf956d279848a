"""Which answers users responded to: what the event log has gained since a moment."""

from collections.abc import Callable

import structlog

from stepwell.feedback.logged_events import IMPRESSION_PREFIX, event_in
from stepwell.stores.event_log import EventLog
from stepwell_pb.v1 import common_pb2

_log = structlog.get_logger(__name__)

MAX_LINES = 5_000
"""Of one reading; what is left comes with the next one."""

MAX_READINGS = 20
"""Of one time to catch up. A log that grows faster is not followed line by line."""

RESPONSES = frozenset(
    {
        common_pb2.EVENT_TYPE_CLICK,
        common_pb2.EVENT_TYPE_ADD_TO_CART,
        common_pb2.EVENT_TYPE_PURCHASE,
    }
)
"""Events that say that a user liked what was shown."""


class ResponseReader:
    """Reads the log, whichever process or client wrote to it.

    Concurrency: `begin` from any thread, `catch_up` from one.
    Cost: about 5 us an event; impressions cost next to nothing.
    """

    def __init__(self, log: EventLog) -> None:
        self._event_log = log
        self._next_offset: int | None = None

    def begin(self) -> None:
        """Goes on from the log's end, where it is now.

        Raises:
            UnavailableError: the log does not answer; it goes on from the end at the
                next time to catch up.
        """
        self._next_offset = None
        self._next_offset = self._event_log.end_offset()

    def catch_up(self, responded: Callable[[str], None]) -> None:
        """Tells of the answers that new events name, once an event.

        Where the log grows faster than it is read, the rest is skipped with a warning:
        who waits for responses forgets the answers, and old ones would count for
        nothing. Live and canary miss the same share of theirs.

        Raises:
            UnavailableError: the log does not answer; try again.
        """
        for _ in range(MAX_READINGS):
            offset = self._next_offset
            if offset is None:
                self.begin()
                return
            if self._read_on(offset, responded):
                return
        _log.warning("the log outruns its reader, responses are skipped")
        self.begin()

    def _read_on(self, offset: int, responded: Callable[[str], None]) -> bool:
        """Reads once; returns whether that was to the end."""
        lines, next_offset = self._event_log.read_except(
            IMPRESSION_PREFIX, offset, MAX_LINES
        )
        self._next_offset = next_offset
        for line in lines:
            event = event_in(line)
            if event is not None and event.request_id and event.event_type in RESPONSES:
                responded(event.request_id)
        return next_offset - offset < MAX_LINES
