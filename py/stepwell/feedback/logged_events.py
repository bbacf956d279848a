"""Lines of the event log: how an event or an impression becomes bytes and back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from stepwell.base.errors import DataLossError, FailedPreconditionError
from stepwell.stores.event_log import EventLog, EventRecord, StoredEvent
from stepwell_pb.v1 import feedback_pb2

IMPRESSION_PREFIX = "impression:"
"""Begins the ids of impressions in the log; no client's event may take one."""

_BATCH_IMPRESSIONS = 500
_BATCH_LINES = 2_000

OnProgress = Callable[[int, int], None]
"""Told lines of the log that are done, and lines in all."""


@dataclass(frozen=True, slots=True)
class LoggedLine:
    """One line of the log, decoded: an Event or an Impression."""

    offset: int
    ingestion_time_us: int
    event: feedback_pb2.Event | feedback_pb2.Impression


def event_record(event: feedback_pb2.Event, ingestion_time_us: int) -> EventRecord:
    """Returns the line of a client's event, deduplicated by its own id."""
    logged = feedback_pb2.LoggedEvent(
        ingestion_time_us=ingestion_time_us, feedback=event
    )
    return EventRecord(event.event_id, logged.SerializeToString())


def impression_record(
    impression: feedback_pb2.Impression, ingestion_time_us: int
) -> EventRecord:
    """Returns the line of a shown slate, deduplicated by its request id."""
    logged = feedback_pb2.LoggedEvent(
        ingestion_time_us=ingestion_time_us, impression=impression
    )
    event_id = IMPRESSION_PREFIX + impression.request_id
    return EventRecord(event_id, logged.SerializeToString())


def decoded(stored: StoredEvent) -> LoggedLine:
    """Returns the line in a stored event.

    Raises:
        DataLossError: the payload is none of ours, such as a later version's.
    """
    try:
        logged = feedback_pb2.LoggedEvent.FromString(stored.payload)
    except DecodeError as error:
        raise DataLossError(f"event {stored.offset}: {error}") from error
    kind = logged.WhichOneof("event")
    if kind is None:
        raise DataLossError(f"event {stored.offset} is of an unknown kind")
    event = logged.feedback if kind == "feedback" else logged.impression
    return LoggedLine(stored.offset, logged.ingestion_time_us, event)


def event_in(stored: StoredEvent) -> feedback_pb2.Event | None:
    """Returns a client's event; None for an impression and for what is none of ours."""
    try:
        event = decoded(stored).event
    except DataLossError:
        return None
    return event if isinstance(event, feedback_pb2.Event) else None


def impression_lines(
    log: EventLog, on_progress: OnProgress | None = None
) -> Iterator[StoredEvent]:
    """Yields the lines of impressions that are in the log now, in order, undecoded."""
    at, end = 0, log.end_offset()
    while at < end and (lines := log.read(at, min(_BATCH_IMPRESSIONS, end - at))):
        yield from (one for one in lines if one.event_id.startswith(IMPRESSION_PREFIX))
        at = lines[-1].offset + 1
        if on_progress is not None:
            on_progress(at, end)


def lines_between(
    log: EventLog, start: int, end: int
) -> Iterator[tuple[list[StoredEvent], int]]:
    """Yields the lines that are no impressions, in batches, as far as the log goes.

    Args:
        start: offset of the first line.
        end: offset to stop before.
    Yields:
        Lines in order, which may be none, and the offset behind all looked at so far.
    Cost: impressions are passed by for next to nothing.
    """
    at = start
    while at < end:
        limit = min(_BATCH_LINES, end - at)
        lines, behind = log.read_except(IMPRESSION_PREFIX, at, limit)
        if behind == at:
            break
        at = behind
        yield lines, at


def end_of_followed(log: EventLog, next_offset: int) -> int:
    """Returns the end of a log that was followed up to `next_offset`.

    Args:
        next_offset: known before the call: others may move both meanwhile.
    Raises:
        FailedPreconditionError: the log ends before that. It is another one, such as
            an older copy put back, and what was folded in is not what it holds.
    """
    end = log.end_offset()
    if next_offset > end:
        raise FailedPreconditionError(
            f"the log ends at offset {end} and was followed up to {next_offset}: that "
            "was another log. Empty the online store and import user state again"
        )
    return end


def check_whole(log: EventLog) -> None:
    """Raises FailedPreconditionError where a log has forgotten its first lines."""
    first = log.first_offset()
    if first > 0:
        raise FailedPreconditionError(
            f"the log begins at offset {first}: what came before was "
            "forgotten, and rows that knew it cannot be made again"
        )
