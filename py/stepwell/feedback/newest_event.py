"""What time it was, in the world of the data, when the log was last written to."""

from stepwell.base.errors import DataLossError
from stepwell.feedback.logged_events import LoggedLine, decoded
from stepwell.schema.feature_row import MAX_AHEAD_SECONDS
from stepwell.stores.event_log import EventLog, StoredEvent
from stepwell_pb.v1 import feedback_pb2

_TAIL_LINES = 2_000


def newest_event_seconds(log: EventLog, since_seconds: int) -> int:
    """Returns the latest time that the log's last 2,000 lines tell, unix seconds.

    Impressions carry the server's own time and are believed. A client's event is when
    it lies at most a day ahead of what is known by then: one with a wrong date does not
    take the server's time with it.

    Args:
        since_seconds: what is known before the first line; the least that is returned.
    Raises:
        UnavailableError, DataLossError: the log cannot be read.
    Cost: about 10 ms.
    """
    newest = since_seconds
    for stored in log.read(max(0, log.end_offset() - _TAIL_LINES), _TAIL_LINES):
        line = _readable(stored)
        if line is None:
            continue
        told = line.event.event_time_seconds
        shown = isinstance(line.event, feedback_pb2.Impression)
        if shown or told <= newest + MAX_AHEAD_SECONDS:
            newest = max(newest, told)
    return newest


def _readable(stored: StoredEvent) -> LoggedLine | None:
    try:
        return decoded(stored)
    except DataLossError:
        return None  # a later version's; it tells no time
