"""The event log: events in the order they were made durable, each exactly once."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from stepwell.base.errors import check_range

MAX_EVENT_ID_BYTES = 300
MAX_PAYLOAD_BYTES = 1 << 20
MAX_BATCH_EVENTS = 1_000
MAX_READ_EVENTS = 100_000
MAX_CONSUMER_BYTES = 64


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event to append; a repeated `event_id` is the same event."""

    event_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event of the log; offsets start at 0 and grow by one."""

    offset: int
    event_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class AppendReceipt:
    """The proof that a batch is durable.

    Attributes:
        offsets: place of each event in order; of a repeated one, its first place.
        num_stored: events of the batch that were new.
    """

    offsets: tuple[int, ...]
    num_stored: int

    @property
    def num_duplicates(self) -> int:
        """Events of the batch that the log held before, or the batch held twice."""
        return len(self.offsets) - self.num_stored


@dataclass(frozen=True, slots=True)
class PostedCounts:
    """What has become of the events posted to one opened log; it only grows.

    Attributes:
        num_stored: are durable.
        num_duplicates: were in the log before.
        num_lost: were taken and could not be made durable.
        last_loss: why the last of them was lost; "" before.
    """

    num_stored: int
    num_duplicates: int
    num_lost: int
    last_loss: str = ""


class EventLog(Protocol):
    """A durable, deduplicated, ordered log with named consumers.

    Concurrency: every method may be called from any thread. Appends that wait at the
    same time share one sync to disk.
    Durability: a receipt exists only after its events are on disk; what was
    acknowledged survives SIGKILL and power cuts. What was not acknowledged may or may
    not be there: the producer sends it again and the log keeps one.
    Errors: ResourceExhaustedError when the queue or the disk is full, UnavailableError
    when a sync fails or the backend does not answer; in both cases nothing of the batch
    is acknowledged. DataLossError when stored bytes do not match their checksum.
    """

    def append(self, records: Sequence[EventRecord]) -> AppendReceipt:
        """Stores a batch, all or nothing, and returns when it is durable.

        Args:
            records: 1 to MAX_BATCH_EVENTS events.
        Raises:
            InvalidArgumentError: an id or a payload is too long; nothing is stored.
        """
        ...

    def submit(self, records: Sequence[EventRecord]) -> "Future[AppendReceipt]":
        """As `append`, without waiting: the future carries the receipt or the error.

        A future cancelled before its batch is taken up means nothing was stored.
        Raises at once what needs no disk: InvalidArgumentError and, when the queue is
        full, ResourceExhaustedError.
        """
        ...

    def post(self, record: EventRecord) -> bool:
        """Leaves an event that nobody waits for; it is durable some time later.

        What was posted and not yet durable is lost when the process is killed.

        Returns:
            False when the queue is full or the log is closed: it will not be stored.
        Raises:
            InvalidArgumentError: the id or the payload is too long.
        Cost: about 1 us; never waits.
        """
        ...

    def posted(self) -> PostedCounts:
        """Returns what has become of posted events; it may be asked after `close`."""
        ...

    def read(self, from_offset: int, limit: int) -> list[StoredEvent]:
        """Returns at most `limit` events from `from_offset` on, in order."""
        ...

    def read_except(
        self, prefix: str, from_offset: int, limit: int
    ) -> tuple[list[StoredEvent], int]:
        """Returns events from `from_offset` on whose id does not begin with `prefix`.

        It looks at `limit` events at most, whether it returns them or passes them by;
        those it passes by cost next to nothing, and their checksums go unread.

        Args:
            prefix: 1 to MAX_EVENT_ID_BYTES bytes.
        Returns:
            The events in order, and the offset behind the last one it looked at;
            `from_offset` when there was none.
        """
        ...

    def first_offset(self) -> int:
        """Returns the offset of the oldest event that is not forgotten.

        `end_offset` where there is none. Between the two no event is missing.
        """
        ...

    def end_offset(self) -> int:
        """Returns the offset that the next new event will have."""
        ...

    def wait(self, from_offset: int, timeout_s: float) -> bool:
        """Returns whether there is an event at `from_offset` or behind it.

        It returns as soon as there is one, whichever process appended it, and False
        when the time is over. A process that dies right behind its commit may leave
        the waiters asleep until the next append or the end of their time.

        Raises:
            FailedPreconditionError: the log is closed, by another thread meanwhile too.
        """
        ...

    def committed_offset(self, consumer: str) -> int:
        """Returns the next offset a consumer wants; 0 before its first commit."""
        ...

    def commit_offset(self, consumer: str, offset: int) -> None:
        """Remembers, durably, that a consumer is done with all before `offset`."""
        ...

    def trim(self, before_offset: int) -> int:
        """Forgets events before an offset, and their ids; returns how many.

        Damaged ones go like the others; their ids may stay known.
        A producer that sends a forgotten event again stores it again.
        """
        ...

    def size_bytes(self) -> int:
        """Returns the space that events and their ids take, in about a millisecond."""
        ...

    def close(self) -> None:
        """Makes durable what was submitted or posted; gives up files, connections."""
        ...


def checked_batch(records: Sequence[EventRecord]) -> tuple[EventRecord, ...]:
    """Returns the batch when its size and every event's are within limits."""
    check_range("number of events", len(records), 1, MAX_BATCH_EVENTS)
    return tuple([checked_event(record) for record in records])


def checked_event(record: EventRecord) -> EventRecord:
    """Returns the event when its id's and its payload's sizes are within limits."""
    id_bytes = len(record.event_id.encode())
    check_range("size of event_id", id_bytes, 1, MAX_EVENT_ID_BYTES)
    check_range("size of payload", len(record.payload), 0, MAX_PAYLOAD_BYTES)
    return record


def checked_read(from_offset: int, limit: int) -> None:
    """Raises InvalidArgumentError when a read asks for the impossible."""
    check_range("from_offset", from_offset, 0, (1 << 63) - 1)
    check_range("limit", limit, 1, MAX_READ_EVENTS)


def checked_prefix(prefix: str) -> bytes:
    """Returns the beginning of ids as bytes when its length is within limits."""
    begin = prefix.encode()
    check_range("size of prefix", len(begin), 1, MAX_EVENT_ID_BYTES)
    return begin


def checked_consumer(consumer: str) -> bytes:
    """Returns a consumer's name as bytes when its length is within limits."""
    name = consumer.encode()
    check_range("size of consumer", len(name), 1, MAX_CONSUMER_BYTES)
    return name
