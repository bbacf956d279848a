"""The event log embedded in the process: LMDB with group commit."""

import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from stepwell.base.errors import DataLossError
from stepwell.stores.event_log import (
    AppendReceipt,
    EventRecord,
    PostedCounts,
    StoredEvent,
    checked_batch,
    checked_consumer,
    checked_id,
    checked_prefix,
    checked_read,
)
from stepwell.stores.group_commit import Batch, GroupCommitOptions, GroupCommitter
from stepwell.stores.lmdb_environment import (
    LmdbOptions,
    Transaction,
    lmdb_errors,
    open_environment,
    open_tables,
)
from stepwell.stores.posted_events import PostedEvents, PostOptions

_OFFSET = struct.Struct(">Q")  # big-endian, so that keys sort by offset
_FRAME = struct.Struct("<IH")  # crc32 of all behind it and of the offset, id bytes
_NEXT_OFFSET = b"next_offset"
_CONSUMER = b"consumer:"


class LmdbEventLog:
    """An EventLog in one memory-mapped file.

    Tables: `events` offset -> checksum, id, payload; `ids` id -> offset; `meta`.

    Concurrency: as the interface says. Several processes may append to one folder: a
    commit holds the writer's lock and reads the next offset under it.
    Cost: a commit is two fdatasyncs, whatever the number of events it carries.
    """

    def __init__(
        self,
        path: Path,
        environment_options: LmdbOptions | None = None,
        commit_options: GroupCommitOptions | None = None,
    ) -> None:
        self._path = path
        self._environment = open_environment(path, environment_options or LmdbOptions())
        self._events, self._ids, self._meta = open_tables(
            self._environment, path, (b"events", b"ids", b"meta")
        )
        self._committer = GroupCommitter(
            self._commit_group,
            commit_options or GroupCommitOptions(),
            f"event-log {path.name}",
        )
        self._posted = PostedEvents(self.append, PostOptions())

    def append(self, records: Sequence[EventRecord]) -> AppendReceipt:
        return self.submit(records).result()

    def submit(self, records: Sequence[EventRecord]) -> "Future[AppendReceipt]":
        return self._committer.submit(checked_batch(records))

    def post(self, record: EventRecord) -> bool:
        checked_id(record)
        return self._posted.post(record)

    def posted(self) -> PostedCounts:
        return self._posted.counts()

    def read(self, from_offset: int, limit: int) -> list[StoredEvent]:
        checked_read(from_offset, limit)
        found: list[StoredEvent] = []
        with (
            lmdb_errors(self._path),
            self._environment.begin(self._events) as transaction,
            transaction.cursor() as cursor,
        ):
            if not cursor.set_range(_OFFSET.pack(from_offset)):
                return found
            for key, frame in cursor:
                found.append(self._unframed(_OFFSET.unpack(key)[0], frame))
                if len(found) == limit:
                    break
        return found

    def read_except(
        self, prefix: str, from_offset: int, limit: int
    ) -> tuple[list[StoredEvent], int]:
        begin = checked_prefix(prefix)
        checked_read(from_offset, limit)
        looked_at = self.read(from_offset, limit)
        found = [e for e in looked_at if not e.event_id.encode().startswith(begin)]
        return found, looked_at[-1].offset + 1 if looked_at else from_offset

    def end_offset(self) -> int:
        with lmdb_errors(self._path), self._environment.begin() as transaction:
            return self._number(transaction, _NEXT_OFFSET)

    def committed_offset(self, consumer: str) -> int:
        key = _CONSUMER + checked_consumer(consumer)
        with lmdb_errors(self._path), self._environment.begin() as transaction:
            return self._number(transaction, key)

    def commit_offset(self, consumer: str, offset: int) -> None:
        key = _CONSUMER + checked_consumer(consumer)
        checked_read(offset, 1)
        with (
            lmdb_errors(self._path),
            self._environment.begin(self._meta, write=True) as transaction,
        ):
            transaction.put(key, _OFFSET.pack(offset))

    def trim(self, before_offset: int) -> int:
        checked_read(before_offset, 1)
        num_trimmed = 0
        with (
            lmdb_errors(self._path),
            self._environment.begin(self._events, write=True) as transaction,
            transaction.cursor() as cursor,
        ):
            while cursor.first():
                offset = _OFFSET.unpack(cursor.key())[0]
                if offset >= before_offset:
                    break
                event = self._unframed(offset, cursor.value())
                transaction.delete(event.event_id.encode(), db=self._ids)
                cursor.delete()
                num_trimmed += 1
        return num_trimmed

    def size_bytes(self) -> int:
        # Pages in use; the file is as large as it ever was.
        with lmdb_errors(self._path), self._environment.begin() as transaction:
            stats = [transaction.stat(db) for db in (self._events, self._ids)]
        return sum(
            stat["psize"]
            * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
            for stat in stats
        )

    def close(self) -> None:
        self._posted.close()
        self._committer.close()
        self._environment.close()

    def _commit_group(self, batches: Sequence[Batch]) -> list[AppendReceipt]:
        # The block's end commits and syncs; only then do the receipts leave.
        with (
            lmdb_errors(self._path),
            self._environment.begin(write=True) as transaction,
        ):
            next_offset = self._number(transaction, _NEXT_OFFSET)
            receipts = []
            for batch in batches:
                receipt = self._put_batch(transaction, batch, next_offset)
                next_offset += receipt.num_stored
                receipts.append(receipt)
            transaction.put(_NEXT_OFFSET, _OFFSET.pack(next_offset), db=self._meta)
        return receipts

    def _put_batch(
        self, transaction: Transaction, batch: Batch, next_offset: int
    ) -> AppendReceipt:
        offsets: list[int] = []
        first_offset = next_offset
        for record in batch:
            event_id = record.event_id.encode()
            known = transaction.get(event_id, db=self._ids)
            if known is not None:
                offsets.append(_OFFSET.unpack(known)[0])
                continue
            key = _OFFSET.pack(next_offset)
            transaction.put(event_id, key, db=self._ids)
            frame = _framed(key, event_id, record.payload)
            transaction.put(key, frame, db=self._events, append=True)
            offsets.append(next_offset)
            next_offset += 1
        return AppendReceipt(tuple(offsets), next_offset - first_offset)

    def _number(self, transaction: Transaction, key: bytes) -> int:
        stored = transaction.get(key, db=self._meta)
        return 0 if stored is None else int(_OFFSET.unpack(stored)[0])

    def _unframed(self, offset: int, frame: bytes) -> StoredEvent:
        if len(frame) < _FRAME.size:
            raise DataLossError(f"{self._path}: event {offset} is {len(frame)} bytes")
        crc, id_bytes = _FRAME.unpack_from(frame)
        if crc != _checksum(_OFFSET.pack(offset), frame[4:]):
            raise DataLossError(f"{self._path}: event {offset} fails its checksum")
        id_end = _FRAME.size + id_bytes
        event_id = frame[_FRAME.size : id_end].decode()
        return StoredEvent(offset, event_id, frame[id_end:])


def _checksum(key: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(key))


def _framed(key: bytes, event_id: bytes, payload: bytes) -> bytes:
    body = len(event_id).to_bytes(2, "little") + event_id + payload
    return _checksum(key, body).to_bytes(4, "little") + body
