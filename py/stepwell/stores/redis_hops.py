"""Reads on the request path: one command, one reply, three system calls."""

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from stepwell.base.native import native_module
from stepwell.stores.redis_connection import (
    Client,
    LostConnectionError,
    ReplyError,
    TimedConnection,
    UnreadableReplyError,
    all_within,
)

_native = native_module("_online_store")


class RedisHops:
    """Asks for keys over connections of a client, each used by one call at a time.

    redis-py's own way to a reply is some forty Python calls and eight system calls,
    most of what a read on the request path costs. It connects, authenticates and
    selects the database here as well; what follows is C++ on its sockets.

    Args:
        client: of `connect`, by TCP or over a Unix socket.

    Concurrency: thread-safe. A call that finds no idle connection opens one.
    """

    def __init__(self, client: Client) -> None:
        self._pool: Any = client.connection_pool
        self._idle: deque[_Hop] = deque()

    def mget(
        self, keys: list[bytes], timeout_us: int, asking: bool = False
    ) -> list[bytes | None]:
        """Returns what MGET replies.

        A connection that was idle and is found dead is replaced once, so that the first
        read after a restart of the server is answered.

        Args:
            asking: the keys are on their way to this node of a cluster, which answers
                for them only when it is told so.
        Raises:
            redis.RedisError, TimeoutError: as a call of the client.
        """
        end = time.monotonic() + timeout_us / 1e6
        try:
            hop = self._idle.pop()
        except IndexError:
            return self._asked(self._opened(end), keys, end, asking)
        try:
            return self._asked(hop, keys, end, asking)
        except LostConnectionError:
            return self._asked(self._opened(end), keys, end, asking)

    def connect(self, timeout_us: int) -> None:
        """Opens a connection where none is idle, so that no request has to.

        Raises:
            redis.RedisError, TimeoutError: as a call of the client.
        """
        if not self._idle:
            self._idle.append(self._opened(time.monotonic() + timeout_us / 1e6))

    def _asked(
        self, hop: "_Hop", keys: list[bytes], end: float, asking: bool
    ) -> list[bytes | None]:
        left_us = int((end - time.monotonic()) * 1e6)
        try:
            reply: list[bytes | None] | str = hop.native.mget(keys, asking, left_us)
        except BaseException as error:
            # Whatever came between question and reply: the next reply is not its own.
            self._drop(hop)
            if isinstance(error, ConnectionError):
                raise LostConnectionError(str(error)) from error
            if isinstance(error, ValueError):
                raise UnreadableReplyError(str(error)) from error
            raise
        self._idle.append(hop)
        if isinstance(reply, str):
            raise ReplyError(reply)
        return reply

    def _opened(self, end: float) -> "_Hop":
        with all_within(max(int((end - time.monotonic()) * 1e6), 1)):
            connection = self._pool.get_connection()
        return _Hop(connection, _native.RedisHop(connection.descriptor()))

    def _drop(self, hop: "_Hop") -> None:
        made: Any = hop.connection
        made.disconnect()
        self._pool.release(made)


@dataclass(frozen=True, slots=True)
class _Hop:
    """One connection between two calls, and what asks over its socket."""

    connection: TimedConnection
    native: Any
