"""The online store in Redis, or anything that speaks its protocol."""

from collections.abc import Mapping, Sequence
from typing import cast

from stepwell.base.native import native_module
from stepwell.stores.key_value_store import Guard, checked_entries, entry_key
from stepwell.stores.redis_connection import (
    WatchError,
    all_within,
    connect,
    is_timed,
    redis_errors,
)
from stepwell.stores.redis_hops import RedisHops

_native = native_module("_online_store")

MAX_HOP_KEYS = 64
"""Keys that a request may ask for in one hop."""


class RedisKeyValueStore:
    """A KeyValueStore in one Redis server.

    Args:
        url: redis://host:port/database, rediss: or unix:.
        timeout_ms: limit of a whole read of at most MAX_HOP_KEYS keys by a caller who
            names a time, connecting included: the hop budget of the request path.
        prefix: put before every key, so that several systems share one server.
        bulk_timeout_ms: limit of writes and of other reads: the updater's, imports.

    Concurrency: as the interface says; a pool of connections for each of the two.
    Cost: one round trip a call, 64 blobs about 160 us on loopback.
    """

    def __init__(
        self,
        url: str,
        timeout_ms: int = 5,
        prefix: str = "stepwell:",
        bulk_timeout_ms: int = 2_000,
    ) -> None:
        bulk_timeout_ms = max(timeout_ms, bulk_timeout_ms)
        self._client = connect(url, timeout_ms)
        self._bulk = connect(url, bulk_timeout_ms)
        self._hops = RedisHops(self._client) if is_timed(self._client) else None
        self._hop_us = timeout_ms * 1_000
        self._bulk_us = bulk_timeout_ms * 1_000
        self._prefix = prefix.encode()

    def get_many(
        self, view: str, keys: Sequence[str], timeout_us: int | None = None
    ) -> list[bytes | None]:
        return self.get_rows([(view, key) for key in keys], timeout_us)

    def get_rows(
        self, rows: Sequence[tuple[str, str]], timeout_us: int | None = None
    ) -> list[bytes | None]:
        if not rows:
            return []
        entries: list[bytes] = _native.entry_keys(self._prefix, rows)
        # Who names no time has it: an updater, an import.
        is_hop = timeout_us is not None and len(rows) <= MAX_HOP_KEYS
        own_us = self._hop_us if is_hop else self._bulk_us
        limit_us = own_us if timeout_us is None else min(timeout_us, own_us)
        try:
            if is_hop and self._hops is not None:
                return self._hops.mget(entries, limit_us)
            with all_within(limit_us):
                blobs = (self._client if is_hop else self._bulk).mget(entries)
        except Exception:
            # Here, not around it: a request enters no block that it hardly needs.
            with redis_errors(f"get {rows[0][0]}"):
                raise
        # Replies are bytes: the client was made without decode_responses.
        return cast(list[bytes | None], blobs)

    def put_many(self, view: str, values: Mapping[str, bytes]) -> None:
        entries = self._prefixed({view: values})
        if entries:
            with redis_errors(f"put {view}"):
                self._bulk.mset(entries)

    def write_if(
        self, guard: Guard, changes: Mapping[str, Mapping[str, bytes]]
    ) -> bool:
        entries = self._prefixed(changes)
        guarded = self._prefix + entry_key(guard.view, guard.key)
        with redis_errors("guarded write"), self._bulk.pipeline() as pipeline:
            pipeline.watch(guarded)  # type: ignore[no-untyped-call]
            if pipeline.get(guarded) != guard.expected:
                return False
            pipeline.multi()
            if entries:
                pipeline.mset(entries)
            try:
                pipeline.execute()
            except WatchError:
                return False
        return True

    def close(self) -> None:
        self._client.close()
        self._bulk.close()

    def _prefixed(
        self, changes: Mapping[str, Mapping[str, bytes]]
    ) -> dict[bytes, bytes]:
        return {self._prefix + key: blob for key, blob in checked_entries(changes)}
