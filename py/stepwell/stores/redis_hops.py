"""Reads on the request path: one command, one reply, three system calls."""

import math
import os
import select
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import hiredis

from stepwell.stores.redis_connection import (
    Client,
    LostConnectionError,
    ReplyError,
    TimedConnection,
    UnreadableReplyError,
    all_within,
)

_BUFFER_BYTES = 1 << 16
_MORE = object()
"""What the reader says while a reply is not complete."""


class RedisHops:
    """Asks for keys over connections of a client, each used by one call at a time.

    redis-py's own way to a reply is some forty Python calls and eight system calls,
    most of what a read on the request path costs. It connects, authenticates and
    selects the database here as well; what follows is done on its sockets.

    Args:
        client: of `connect`, by TCP or over a Unix socket.

    Concurrency: thread-safe. A call that finds no idle connection opens one.
    """

    def __init__(self, client: Client) -> None:
        self._pool: Any = client.connection_pool
        self._idle: deque[_Hop] = deque()

    def mget(self, keys: Sequence[bytes], timeout_us: int) -> Any:
        """Returns what MGET replies.

        A connection that was idle and is found dead is replaced once, so that the first
        read after a restart of the server is answered.

        Raises:
            redis.RedisError, TimeoutError: as a call of the client.
        """
        words: Any = (b"MGET", *keys)
        command = hiredis.pack_command(words)
        end = time.monotonic() + timeout_us / 1e6
        try:
            hop = self._idle.pop()
        except IndexError:
            return self._asked(self._opened(end), command, end)
        try:
            return self._asked(hop, command, end)
        except LostConnectionError:
            return self._asked(self._opened(end), command, end)

    def _asked(self, hop: "_Hop", command: bytes, end: float) -> Any:
        try:
            reply = hop.ask(command, end)
        except BaseException as error:
            # Whatever came between question and reply: the next reply is not its own.
            self._drop(hop)
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise LostConnectionError(str(error)) from error
            raise
        self._idle.append(hop)
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def _opened(self, end: float) -> "_Hop":
        with all_within(max(int((end - time.monotonic()) * 1e6), 1)):
            connection = self._pool.get_connection()
        return _Hop(connection)

    def _drop(self, hop: "_Hop") -> None:
        hop.disconnect()
        self._pool.release(hop.connection)


class _Hop:
    """One connection between two calls. Concurrency: one thread at a time."""

    def __init__(self, connection: TimedConnection) -> None:
        self.connection = connection
        self._fd = connection.descriptor()
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._fd, select.POLLIN)
        self._writable.register(self._fd, select.POLLOUT)
        self._buffer = bytearray(_BUFFER_BYTES)
        self._reader: Any = hiredis.Reader(
            protocolError=UnreadableReplyError,
            replyError=ReplyError,
            notEnoughData=_MORE,
        )

    def disconnect(self) -> None:
        """Closes it."""
        made: Any = self.connection
        made.disconnect()

    def ask(self, command: bytes, end: float) -> Any:
        """Returns the reply; an error that the server replies is returned too."""
        while command:
            # The descriptor does not block, and a short command always has room.
            try:
                command = command[os.write(self._fd, command) :]
            except BlockingIOError:
                _wait(self._writable, end, 1)
        # What is there when a busy machine lets this thread look at last is taken, late
        # or not: the server was in time. Once only, or a flood would have no end.
        least_ms = 0
        while True:
            reply = self._reader.gets()
            if reply is _MORE:
                self._receive(end, least_ms)
                least_ms = 1
            elif not isinstance(reply, hiredis.PushNotification):
                return reply

    def _receive(self, end: float, least_ms: int) -> None:
        _wait(self._readable, end, least_ms)
        try:
            num_bytes = os.readv(self._fd, [self._buffer])
        except BlockingIOError:
            return
        if not num_bytes:
            raise LostConnectionError("the server closed the connection")
        self._reader.feed(self._buffer, 0, num_bytes)


def _wait(ready: "select.poll", end: float, least_ms: int) -> None:
    """Waits until `end`; with less than `least_ms` left it is too late to look."""
    # A fraction of a millisecond waits for a whole one: less cannot be said.
    left_ms = max(math.ceil((end - time.monotonic()) * 1e3), 0)
    if left_ms < least_ms or not ready.poll(left_ms):
        raise TimeoutError("the call's time is up")
