"""The event log embedded in the process: C++ over LMDB, with a thread of its own."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stepwell.base.errors import ResourceExhaustedError
from stepwell.base.native import native_module
from stepwell.stores.acknowledgements import Acknowledgements
from stepwell.stores.event_log import (
    AppendReceipt,
    EventRecord,
    PostedCounts,
    StoredEvent,
    checked_consumer,
    checked_prefix,
    checked_read,
)

DEFAULT_MAP_BYTES = 16 << 30
_RETRY_AFTER_MS = 50


class LmdbEventLog:
    """An EventLog in one memory-mapped file.

    What is appended or posted goes to a thread of the C++ library, which commits what
    has gathered and never asks for the interpreter.

    Args:
        path: folder of the file, made (mode 0700) where it is missing.
        map_size_bytes: upper bound of the file; address space, not memory or disk.

    Raises:
        FailedPreconditionError: it is open in this process already (share that one).
        UnavailableError: the folder cannot be used.
        DataLossError: its file was cut short, or is none of LMDB.
    Concurrency: as the interface says. Several processes may append to one folder: a
        commit holds the writer's lock and reads the next offset under it.
    Cost: a commit is two fdatasyncs, whatever the number of events it carries. Waiting,
        reading and writing give up the GIL.
    """

    def __init__(self, path: Path, map_size_bytes: int = DEFAULT_MAP_BYTES) -> None:
        self._native = native_module("_event_log").EventLog(
            str(path), map_size_bytes=map_size_bytes
        )
        self._acknowledgements = Acknowledgements(self._native)

    def append(self, records: Sequence[EventRecord]) -> AppendReceipt:
        with _push_back():
            offsets, num_stored = self._native.append(*_columns(records))
        return AppendReceipt(tuple(offsets), num_stored)

    def submit(self, records: Sequence[EventRecord]) -> "Future[AppendReceipt]":
        with _push_back():
            return self._acknowledgements.submit(*_columns(records))

    def post(self, record: EventRecord) -> bool:
        taken: bool = self._native.post(record.event_id.encode(), record.payload)
        return taken

    def posted(self) -> PostedCounts:
        num_stored, num_duplicates, num_lost = self._native.post_counts()
        last_loss = self._native.last_loss()
        return PostedCounts(num_stored, num_duplicates, num_lost, last_loss)

    def read(self, from_offset: int, limit: int) -> list[StoredEvent]:
        checked_read(from_offset, limit)
        return _events(self._native.read(from_offset, limit))

    def read_except(
        self, prefix: str, from_offset: int, limit: int
    ) -> tuple[list[StoredEvent], int]:
        begin = checked_prefix(prefix)
        checked_read(from_offset, limit)
        found, next_offset = self._native.read_except(begin, from_offset, limit)
        return _events(found), next_offset

    def first_offset(self) -> int:
        offset: int = self._native.first_offset()
        return offset

    def end_offset(self) -> int:
        offset: int = self._native.end_offset()
        return offset

    def wait(self, from_offset: int, timeout_s: float) -> bool:
        is_there: bool = self._native.wait(from_offset, timeout_s)
        return is_there

    def committed_offset(self, consumer: str) -> int:
        offset: int = self._native.committed_offset(checked_consumer(consumer))
        return offset

    def commit_offset(self, consumer: str, offset: int) -> None:
        name = checked_consumer(consumer)
        checked_read(offset, 1)
        self._native.commit_offset(name, offset)

    def trim(self, before_offset: int) -> int:
        checked_read(before_offset, 1)
        num_trimmed: int = self._native.trim(before_offset)
        return num_trimmed

    def size_bytes(self) -> int:
        num_bytes: int = self._native.size_bytes()
        return num_bytes

    def close(self) -> None:
        self._native.close()
        self._acknowledgements.close()


@contextmanager
def _push_back() -> Iterator[None]:
    """Says when to come again, where there was no room."""
    try:
        yield
    except ResourceExhaustedError as error:
        error.retry_after_ms = _RETRY_AFTER_MS
        raise


def _columns(records: Sequence[EventRecord]) -> tuple[list[bytes], list[bytes]]:
    """Ids and payloads; the native log checks them before it keeps any."""
    ids = [record.event_id.encode() for record in records]
    return ids, [record.payload for record in records]


def _events(lines: list[Any]) -> list[StoredEvent]:
    return [StoredEvent(offset, name.decode(), data) for offset, name, data in lines]
