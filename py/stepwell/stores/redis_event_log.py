"""The event log in a Redis stream, for several machines."""

import math
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from stepwell.base.errors import FailedPreconditionError, UnavailableError
from stepwell.stores.event_log import (
    AppendReceipt,
    EventRecord,
    PostedCounts,
    StoredEvent,
    checked_batch,
    checked_consumer,
    checked_event,
    checked_prefix,
    checked_read,
)
from stepwell.stores.group_commit import Batch, GroupCommitOptions, GroupCommitter
from stepwell.stores.posted_events import PostedEvents, PostOptions
from stepwell.stores.redis_connection import connect, redis_errors

_BLOCK_MS = 1_000
"""After so long a wait asks again, so that a dead server is found out."""
_STREAM_MS = "1"  # every entry is 1-<offset>: Redis keeps them ordered and unique

# Runs alone in the server, so look-up and append are one step. The answer leaves after
# the server's fsync. A repeated event answers -1 - its first offset.
# KEYS: stream, ids, next offset. ARGV: id, payload, id, payload ...
_APPEND_SCRIPT = """
local next_offset = tonumber(redis.call('GET', KEYS[3]) or '0')
local offsets = {}
for i = 1, #ARGV, 2 do
  local known = redis.call('HGET', KEYS[2], ARGV[i])
  if known then
    offsets[#offsets + 1] = -1 - tonumber(known)
  else
    redis.call('XADD', KEYS[1], '1-' .. string.format('%d', next_offset + 1),
               'id', ARGV[i], 'payload', ARGV[i + 1])
    redis.call('HSET', KEYS[2], ARGV[i], string.format('%d', next_offset))
    offsets[#offsets + 1] = next_offset
    next_offset = next_offset + 1
  end
end
redis.call('SET', KEYS[3], string.format('%d', next_offset))
return offsets
"""

_Entry = tuple[bytes, dict[bytes, bytes]]


class RedisEventLog:
    """An EventLog in one Redis server that syncs every write.

    Args:
        url: redis://host:port/database, rediss: or unix:.
        timeout_ms: limit of a call.
        prefix: put before every key.

    Raises:
        FailedPreconditionError: the server does not keep what it acknowledges: it needs
            `appendonly yes` and `appendfsync always` (everysec loses a second).
    Concurrency: as the interface says; several processes may share one server.
    Cost: one round trip and one sync of the server for a group of appends.
    """

    def __init__(
        self,
        url: str,
        timeout_ms: int = 2_000,
        prefix: str = "stepwell:events:",
    ) -> None:
        self._client = connect(url, timeout_ms)
        # A connection of its own for each thread that waits; silence is no fault there.
        self._waits = connect(url, timeout_ms + _BLOCK_MS)
        self._closed = False
        self._stream = f"{prefix}stream"
        self._ids = f"{prefix}ids"
        self._next = f"{prefix}next_offset"
        self._consumers = f"{prefix}consumers"
        self._append_script = self._client.register_script(_APPEND_SCRIPT)
        self._check_durability()
        self._committer = GroupCommitter(
            self._commit_group,
            GroupCommitOptions(),
            "event-log redis",
        )
        self._posted = PostedEvents(self.append, PostOptions())

    def append(self, records: Sequence[EventRecord]) -> AppendReceipt:
        return self.submit(records).result()

    def submit(self, records: Sequence[EventRecord]) -> "Future[AppendReceipt]":
        return self._committer.submit(checked_batch(records))

    def post(self, record: EventRecord) -> bool:
        return self._posted.post(checked_event(record))

    def posted(self) -> PostedCounts:
        return self._posted.counts()

    def read(self, from_offset: int, limit: int) -> list[StoredEvent]:
        return [_stored(*entry) for entry in self._entries(from_offset, limit)]

    def read_except(
        self, prefix: str, from_offset: int, limit: int
    ) -> tuple[list[StoredEvent], int]:
        begin = checked_prefix(prefix)
        entries = self._entries(from_offset, limit)
        kept = (entry for entry in entries if not entry[1][b"id"].startswith(begin))
        next_offset = _offset(entries[-1][0]) + 1 if entries else from_offset
        return [_stored(*entry) for entry in kept], next_offset

    def first_offset(self) -> int:
        # The end before: what is appended between the two looks is behind it.
        end = self.end_offset()
        with redis_errors("read events"):
            entries: Any = self._client.xrange(self._stream, "-", "+", 1)
        return _offset(entries[0][0]) if entries else end

    def end_offset(self) -> int:
        with redis_errors("read events"):
            return int(self._client.get(self._next) or 0)

    def wait(self, from_offset: int, timeout_s: float) -> bool:
        checked_read(from_offset, 1)
        end = time.monotonic() + timeout_s
        try:
            self._check_open()
            while not (is_there := self.end_offset() > from_offset):
                left_ms = math.ceil(min((end - time.monotonic()) * 1e3, _BLOCK_MS))
                if left_ms <= 0:
                    break
                self._block(from_offset, left_ms)
                self._check_open()
        except UnavailableError:
            # Its connection may be down because it was closed under the wait.
            self._check_open()
            raise
        return is_there

    def committed_offset(self, consumer: str) -> int:
        name = checked_consumer(consumer).decode()
        with redis_errors("read offset"):
            offset: Any = self._client.hget(self._consumers, name)
        return int(offset or 0)

    def commit_offset(self, consumer: str, offset: int) -> None:
        name = checked_consumer(consumer).decode()
        checked_read(offset, 1)
        with redis_errors("commit offset"):
            self._client.hset(self._consumers, name, str(offset))

    def trim(self, before_offset: int) -> int:
        checked_read(before_offset, 1)
        num_trimmed = 0
        while doomed := self._first_before(before_offset):
            with redis_errors("trim"), self._client.pipeline() as pipeline:
                # One transaction: an event and its id are forgotten together.
                pipeline.xdel(self._stream, *(_entry_id(e.offset) for e in doomed))
                pipeline.hdel(self._ids, *(event.event_id for event in doomed))
                pipeline.execute()
            num_trimmed += len(doomed)
        return num_trimmed

    def size_bytes(self) -> int:
        # Estimated by the server from a few entries of each.
        with redis_errors("read size"):
            sizes: Any = [
                self._client.memory_usage(key) for key in (self._stream, self._ids)
            ]
        return sum(size or 0 for size in sizes)

    def close(self) -> None:
        self._closed = True
        self._posted.close()
        self._committer.close()
        # Shuts the sockets down under those who wait.
        self._waits.connection_pool.disconnect(inuse_connections=True)
        self._client.close()

    def _block(self, from_offset: int, timeout_ms: int) -> None:
        """Returns when there is an entry at an offset, or behind, or time is over."""
        before: Any = {self._stream: _entry_id(from_offset - 1)}
        with redis_errors("wait for events"):
            self._waits.xread(before, count=1, block=timeout_ms)

    def _check_open(self) -> None:
        if self._closed:
            raise FailedPreconditionError("the event log is closed")

    def _entries(self, from_offset: int, limit: int) -> list[_Entry]:
        checked_read(from_offset, limit)
        with redis_errors("read events"):
            entries: Any = self._client.xrange(
                self._stream, _entry_id(from_offset), "+", limit
            )
        return list(entries)

    def _first_before(self, offset: int) -> list[StoredEvent]:
        if offset == 0:
            return []
        with redis_errors("trim"):
            entries: Any = self._client.xrange(
                self._stream, "-", _entry_id(offset - 1), 1_000
            )
        return [_stored(entry_id, fields) for entry_id, fields in entries]

    def _commit_group(self, batches: Sequence[Batch]) -> list[AppendReceipt]:
        keys = [self._stream, self._ids, self._next]
        arguments: list[str | bytes] = []
        for batch in batches:
            for record in batch:
                arguments += (record.event_id, record.payload)
        with redis_errors("append events"):
            answers: Any = self._append_script(keys=keys, args=arguments)
        return _receipts(batches, answers)

    def _check_durability(self) -> None:
        with redis_errors("open event log"):
            append_only: Any = self._client.config_get("appendonly")
            sync: Any = self._client.config_get("appendfsync")
        settings = {**append_only, **sync}
        if settings != {"appendonly": "yes", "appendfsync": "always"}:
            raise FailedPreconditionError(
                f"Redis has {settings}; an acknowledged event needs "
                "appendonly yes and appendfsync always"
            )


def _entry_id(offset: int) -> str:
    # Entry 1-0 would be legal too; one more keeps clear of the stream's zero.
    return f"{_STREAM_MS}-{offset + 1}"


def _offset(entry_id: bytes) -> int:
    return int(entry_id.split(b"-")[1]) - 1


def _stored(entry_id: bytes, fields: dict[bytes, bytes]) -> StoredEvent:
    return StoredEvent(_offset(entry_id), fields[b"id"].decode(), fields[b"payload"])


def _receipts(batches: Sequence[Batch], answers: Sequence[int]) -> list[AppendReceipt]:
    receipts = []
    start = 0
    for batch in batches:
        own = answers[start : start + len(batch)]
        offsets = tuple(answer if answer >= 0 else -1 - answer for answer in own)
        receipts.append(AppendReceipt(offsets, sum(answer >= 0 for answer in own)))
        start += len(batch)
    return receipts
