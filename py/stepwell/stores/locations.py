"""A store from the word that a flag gives: a folder is LMDB, a URL is Redis."""

from pathlib import Path

from stepwell.base.errors import InvalidArgumentError
from stepwell.stores.event_log import EventLog
from stepwell.stores.key_value_store import KeyValueStore
from stepwell.stores.redaction import without_secrets

_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
_CLUSTER_SCHEME = "redis-cluster://"
DEFAULT_HOP_MS = 10
"""Limit of one read on the request path."""


def open_key_value_store(
    location: str, timeout_ms: int = DEFAULT_HOP_MS
) -> KeyValueStore:
    """Opens the online store at `location`, a folder path or a Redis URL.

    Args:
        location: redis-cluster://host:port,host:port is a Redis Cluster; some of its
            nodes are enough.
        timeout_ms: limit of a read on the request path from Redis; LMDB needs none.
    Raises:
        InvalidArgumentError: it is empty or a URL of another scheme.
    """
    # Each backend is imported when it is used: a server starts with one of them.
    if location.startswith(_CLUSTER_SCHEME):
        from stepwell.stores.redis_cluster_key_value_store import (
            RedisClusterKeyValueStore,
        )

        return RedisClusterKeyValueStore(location, timeout_ms)
    if _is_redis(location, (*_REDIS_SCHEMES, _CLUSTER_SCHEME)):
        from stepwell.stores.redis_key_value_store import RedisKeyValueStore

        return RedisKeyValueStore(location, timeout_ms)
    from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore

    return LmdbKeyValueStore(Path(location))


def open_event_log(location: str) -> EventLog:
    """Opens the event log at `location`, a folder path or a Redis URL.

    A log is one stream and lies on one server: a cluster's URL is refused.

    Raises:
        InvalidArgumentError: it is empty or a URL of another scheme.
        FailedPreconditionError: the Redis server may lose acknowledged writes.
    """
    if _is_redis(location, _REDIS_SCHEMES):
        from stepwell.stores.redis_event_log import RedisEventLog

        return RedisEventLog(location)
    from stepwell.stores.lmdb_event_log import LmdbEventLog

    return LmdbEventLog(Path(location))


def _is_redis(location: str, schemes: tuple[str, ...]) -> bool:
    if location.startswith(_REDIS_SCHEMES):
        return True
    if not location or "://" in location:
        raise InvalidArgumentError(
            f"location is {without_secrets(location)!r}, must be a folder or start "
            f"with one of {', '.join(schemes)}",
            "location",
        )
    return False
