"""Connecting to Redis, and its errors as ours. The only module that imports redis."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.connection import Connection, UnixDomainSocketConnection
from redis.exceptions import RedisClusterException, SlotNotCoveredError
from redis.retry import Retry

from stepwell.base.errors import (
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
)
from stepwell.stores.redaction import without_secrets

Client = redis.Redis
ClusterClient: TypeAlias = Any
WatchError = redis.WatchError
LostConnectionError = redis.ConnectionError
ReplyError = redis.ResponseError
NoNodeError = SlotNotCoveredError
UnreadableReplyError = redis.InvalidResponse


class _CallTime(threading.local):
    """When the call that this thread is making must end; None sets no such time."""

    end_seconds: float | None = None

    def left_seconds(self, at_most: float | None) -> float | None:
        """Returns what one wait may take, never more than `at_most`."""
        if self.end_seconds is None:
            return at_most
        left = self.end_seconds - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call's time is up")
        return left if at_most is None else min(left, at_most)


_CALL_TIME = _CallTime()


@contextmanager
def all_within(timeout_us: int) -> Iterator[None]:
    """Bounds everything that calls of this thread do inside the block, in sum.

    A socket's own timeout bounds one wait: a server that sends a byte now and then, or
    a reconnect in the middle, would add up many of them. Not for rediss: URLs, whose
    calls keep to the socket's timeout.
    """
    _CALL_TIME.end_seconds = time.monotonic() + timeout_us / 1e6
    try:
        yield
    finally:
        _CALL_TIME.end_seconds = None


class _TimedSocket(socket.socket):
    """A connected socket whose waits all end with the call's time."""

    def __init__(self, connected: socket.socket) -> None:
        self._at_most = connected.gettimeout()
        super().__init__(fileno=connected.detach())
        self.settimeout(self._at_most)

    def recv_into(self, *arguments: Any, **named: Any) -> int:
        self.settimeout(_CALL_TIME.left_seconds(self._at_most))
        return super().recv_into(*arguments, **named)

    def sendall(self, *arguments: Any, **named: Any) -> None:
        self.settimeout(_CALL_TIME.left_seconds(self._at_most))
        super().sendall(*arguments, **named)


class _TimedConnection(Connection):
    """A connection over TCP that keeps to the call's time."""

    def descriptor(self) -> int:
        """Returns the socket's; it does not block. The connection must be up."""
        return _descriptor(self._sock)

    def _connect(self) -> socket.socket:
        at_most = self.socket_connect_timeout
        self.socket_connect_timeout = _CALL_TIME.left_seconds(at_most)
        try:
            connected: socket.socket = super()._connect()  # type: ignore[no-untyped-call]
        finally:
            self.socket_connect_timeout = at_most
        return _TimedSocket(connected)


class _TimedUnixConnection(UnixDomainSocketConnection):
    """A connection over a Unix socket that keeps to the call's time."""

    def descriptor(self) -> int:
        """Returns the socket's; it does not block. The connection must be up."""
        return _descriptor(self._sock)

    def _connect(self) -> socket.socket:
        connected: socket.socket = super()._connect()  # type: ignore[no-untyped-call]
        return _TimedSocket(connected)


TimedConnection = _TimedConnection | _TimedUnixConnection


def _descriptor(connected: socket.socket | None) -> int:
    if connected is None or connected.gettimeout() is None:
        raise redis.ConnectionError("the connection is not up, or blocks")
    return connected.fileno()


def is_timed(client: Client) -> bool:
    """Returns whether the client's connections are TimedConnections."""
    made: type = client.connection_pool.connection_class
    return issubclass(made, (_TimedConnection, _TimedUnixConnection))


def connect(url: str, timeout_ms: int, max_connections: int = 16) -> Client:
    """Returns a client of `url` that connects on first use.

    Every call costs at most about `timeout_ms` for the connection and as much for each
    wait on it, and is tried once: retries belong to whoever knows the request's
    deadline. See `all_within` for a bound on the whole call.

    Raises:
        InvalidArgumentError: the URL is none of redis:, rediss: and unix:.
    """
    timed = {"redis": _TimedConnection, "unix": _TimedUnixConnection}
    own_class = timed.get(url.partition("://")[0])
    try:
        client: Client = redis.Redis.from_url(
            url,
            socket_timeout=timeout_ms / 1_000,
            socket_connect_timeout=timeout_ms / 1_000,
            max_connections=max_connections,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        # What the parser says quotes parts of the URL, such as its password.
        raise InvalidArgumentError(
            f"url is {without_secrets(url)!r}, must be redis://host:port/database, "
            "rediss: or unix:",
            "url",
        ) from None
    if own_class is not None:
        client.connection_pool.connection_class = own_class
    return client


def connect_cluster(
    addresses: Sequence[tuple[str, int]],
    username: str | None,
    password: str | None,
    timeout_ms: int,
) -> ClusterClient:
    """Returns a client of a Redis Cluster that knows which node has which keys.

    A command that finds its key moved, or its connection lost, is tried once more.

    Args:
        addresses: some nodes; they name the others.
    Raises:
        redis.RedisError: none of them answers as a cluster's node.
    """
    # What some nodes no longer answer for does not keep the others' keys from anybody.
    made: Any = redis.RedisCluster
    node: Any = ClusterNode
    client: ClusterClient = made(
        startup_nodes=[node(host, port) for host, port in addresses],
        username=username,
        password=password,
        socket_timeout=timeout_ms / 1_000,
        socket_connect_timeout=timeout_ms / 1_000,
        retry=Retry(NoBackoff(), 1),
        require_full_coverage=False,
    )
    return client


@contextmanager
def redis_errors(what: str) -> Iterator[None]:
    """Turns errors of Redis inside the block into StepwellErrors that name `what`."""
    try:
        yield
    except redis.WatchError:
        raise
    except redis.OutOfMemoryError as error:
        raise ResourceExhaustedError(f"{what}: Redis is full: {error}") from error
    except (redis.RedisError, RedisClusterException, TimeoutError) as error:
        raise UnavailableError(f"{what}: {error or type(error).__name__}") from error
