"""The online store in a Redis Cluster: what a request needs of a user on one node."""

import time
from collections.abc import Mapping, Sequence
from typing import cast

from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.stores.key_value_store import (
    WATERMARK_VIEW,
    Guard,
    checked_entries,
    entry_key,
)
from stepwell.stores.redis_cluster_nodes import RedisClusterNodes
from stepwell.stores.redis_cluster_writes import Blobs, GuardedWrite
from stepwell.stores.redis_connection import redis_errors
from stepwell.stores.redis_key_value_store import MAX_HOP_KEYS

WATERMARKS_S = 1.0
"""For so long watermarks are taken as they were: they lie on another node."""


class RedisClusterKeyValueStore:
    """A KeyValueStore in a Redis Cluster.

    All views of one key lie on one node. A write is atomic for a key: `put_many` and
    `write_if` of several keys may be seen, or stay after a failure, in part. A guarded
    write never puts an older state over a later writer's, writes the guard's key after
    all others, and watermarks after that. So a failed one leaves keys that are ahead of
    the guard: what lies under a key must say itself what it has seen.

    Args:
        url: redis-cluster://[user:password@]host:port[,host:port...].
        timeout_ms: limit of a whole read of at most MAX_HOP_KEYS keys by a caller who
            names a time: the hop budget of the request path.
        prefix: put before every key; without "{".
        bulk_timeout_ms: limit of a wait of writes and of other reads.

    Concurrency: as the interface says. A watermark that a caller with a time reads is
        as of WATERMARKS_S ago at most, or the last that was read while its node is
        away.
    Cost: one round trip to a user's node; several keys cost one each.
    """

    def __init__(
        self,
        url: str,
        timeout_ms: int = 5,
        prefix: str = "stepwell:",
        bulk_timeout_ms: int = 2_000,
    ) -> None:
        if "{" in prefix:
            raise InvalidArgumentError(f"prefix {prefix!r} has a '{{'", "prefix")
        self._nodes = RedisClusterNodes(
            url, timeout_ms, max(timeout_ms, bulk_timeout_ms)
        )
        self._hop_us = timeout_ms * 1_000
        self._prefix = prefix.encode()
        self._watermarks_tag = self._prefix + b"{watermarks}"
        self._watermarks: dict[bytes, bytes | None] = {}
        self._watermarks_until_s = 0.0

    def get_many(
        self, view: str, keys: Sequence[str], timeout_us: int | None = None
    ) -> list[bytes | None]:
        return self.get_rows([(view, key) for key in keys], timeout_us)

    def get_rows(
        self, rows: Sequence[tuple[str, str]], timeout_us: int | None = None
    ) -> list[bytes | None]:
        entries = [self._entry(view, key) for view, key in rows]
        if timeout_us is None or len(rows) > MAX_HOP_KEYS:
            return self._read(entries)
        end_s = time.monotonic() + min(timeout_us, self._hop_us) / 1e6
        entities: dict[bytes, list[bytes]] = {}
        for (view, key), entry in zip(rows, entries, strict=True):
            entities.setdefault(self._tag(view, key), []).append(entry)
        found: dict[bytes, bytes | None] = {}
        watermarks = entities.pop(self._watermarks_tag, [])
        for of_one in entities.values():
            found |= self._hop(of_one, end_s)
        if watermarks:
            found |= self._last_watermarks(watermarks, end_s)
        return [found[entry] for entry in entries]

    def put_many(self, view: str, values: Mapping[str, bytes]) -> None:
        checked_entries({view: values})
        with redis_errors(f"put {view}"):
            pipeline = self._nodes.cluster().pipeline()
            for key, blob in values.items():
                pipeline.set(self._entry(view, key), blob)
            pipeline.execute()

    def write_if(
        self, guard: Guard, changes: Mapping[str, Mapping[str, bytes]]
    ) -> bool:
        checked_entries(changes)
        guarded = self._entry(guard.view, guard.key)
        own_tag = self._tag(guard.view, guard.key)
        entities = self._entities(changes)
        own = entities.pop(own_tag, {})
        watermarks = entities.pop(self._watermarks_tag, {})
        with redis_errors("guarded write"):
            write = GuardedWrite(
                self._nodes.cluster(), guarded, guard.expected, own_tag + b"\0\0number"
            )
            # Each guard has its own numbers, an entity the last one of each guard.
            mark = b"\0\0by:" + guarded
            rows = [(tag + mark, blobs) for tag, blobs in entities.items()]
            if not (write.begin() and write.write(rows) and write.commit(own)):
                return False
            if watermarks:
                write.write([(self._watermarks_tag + mark, watermarks)])
        return True

    def close(self) -> None:
        self._nodes.close()

    def _tag(self, view: str, key: str) -> bytes:
        """Returns what decides on the node: "=" and the key, or of all watermarks."""
        if view == WATERMARK_VIEW:
            return self._watermarks_tag
        return self._prefix + b"{=" + key.encode() + b"}"

    def _entry(self, view: str, key: str) -> bytes:
        return self._tag(view, key) + b"\0" + entry_key(view, key)

    def _entities(
        self, changes: Mapping[str, Mapping[str, bytes]]
    ) -> dict[bytes, Blobs]:
        entities: dict[bytes, dict[bytes, bytes]] = {}
        for view, values in changes.items():
            for key, blob in values.items():
                blobs = entities.setdefault(self._tag(view, key), {})
                blobs[self._entry(view, key)] = blob
        return dict(entities)

    def _read(self, entries: Sequence[bytes]) -> list[bytes | None]:
        if not entries:
            return []
        with redis_errors("get rows"):
            pipeline = self._nodes.cluster().pipeline()
            for entry in entries:
                pipeline.get(entry)
            return cast(list[bytes | None], pipeline.execute())

    def _hop(self, entries: list[bytes], end_s: float) -> dict[bytes, bytes | None]:
        """Returns blobs of one tag."""
        left_us = int((end_s - time.monotonic()) * 1e6)
        with redis_errors("get rows"):
            blobs = self._nodes.mget(entries, max(left_us, 1))
        return dict(zip(entries, blobs, strict=True))

    def _last_watermarks(
        self, entries: list[bytes], end_s: float
    ) -> dict[bytes, bytes | None]:
        known = self._watermarks
        are_known = all(entry in known for entry in entries)
        now = time.monotonic()
        if are_known and now < self._watermarks_until_s:
            return known
        # Before the question: the others need not ask meanwhile.
        self._watermarks_until_s = now + WATERMARKS_S
        try:
            known = known | self._hop(entries, end_s)
        except UnavailableError:
            # An old one says how far the writer has come at least: it is safe to use,
            # and is found too old in its time.
            if not are_known:
                raise
        self._watermarks = known
        return known
