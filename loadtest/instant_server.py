"""A server that answers every call at once with the same bytes, for next to nothing.

What is measured against it is the caller: gRPC's own servers take ten times as long for
a call and cannot be asked as often. HTTP/2 (RFC 9113) only as far as the load
generator's own connections speak it.
"""

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

from stepwell_pb.v1 import recommend_pb2

_PREFACE_BYTES, _HEAD_BYTES = 24, 9
_DATA, _HEADERS, _SETTINGS, _WINDOW_UPDATE = 0, 1, 4, 8
_END_STREAM, _END_HEADERS, _ACK = 0x1, 0x4, 0x1
_RECEIVE_BYTES = 1 << 18
_WINDOW_BYTES = 1 << 30

_head = struct.Struct(">HBBBI")
_OK_BLOCK = b"\x88\x0f\x10\x10application/grpc"
_END_BLOCK = b"\x00\x0bgrpc-status\x010"


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return _head.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def canned_answer(num_items: int = 10) -> bytes:
    """Returns a slate of FULL as bytes of its message."""
    response = recommend_pb2.RecommendResponse(request_id="r")
    for number in range(num_items):
        response.items.add(item_id=f"item-{number}", name="n" * 40)
    response.served_by.tier = 1  # type: ignore[assignment]
    response.served_by.server_us = 1
    return response.SerializeToString()


class InstantServer:
    """Listens on a free port of the loopback.

    Args:
        message: of every answer.

    Concurrency: one thread, which `serve` keeps for good.
    """

    def __init__(self, message: bytes) -> None:
        body = b"\0" + len(message).to_bytes(4, "big") + message
        self._body = body
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._selector = DefaultSelector()
        self._selector.register(self._listener, EVENT_READ)
        self._rest: dict[socket.socket, bytes] = {}

    @property
    def address(self) -> str:
        """host:port of callers."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Answers until the process ends."""
        while True:
            for key, _ in self._selector.select():
                plug = key.fileobj
                assert isinstance(plug, socket.socket)
                if plug is self._listener:
                    self._accept()
                else:
                    self._read(plug)

    def _accept(self) -> None:
        plug, _ = self._listener.accept()
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(plug, EVENT_READ)
        self._rest[plug] = b""
        grow = struct.pack(">I", _WINDOW_BYTES)
        plug.sendall(_frame(_SETTINGS, 0, 0) + _frame(_WINDOW_UPDATE, 0, 0, grow))

    def _read(self, plug: socket.socket) -> None:
        try:
            data = plug.recv(_RECEIVE_BYTES)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(plug)
            del self._rest[plug]
            plug.close()
            return
        data = self._rest[plug] + data
        if data.startswith(b"PRI "):
            if len(data) < _PREFACE_BYTES:
                self._rest[plug] = data
                return
            data = data[_PREFACE_BYTES:]
        answers, position = self._answers(data)
        self._rest[plug] = data[position:]
        if answers:
            plug.sendall(answers)

    def _answers(self, data: bytes) -> tuple[bytes, int]:
        """Returns what to say to the whole frames of `data`, and where they end."""
        position, size, answers = 0, len(data), []
        while size - position >= _HEAD_BYTES:
            high, low, kind, flags, stream = _head.unpack_from(data, position)
            end = position + _HEAD_BYTES + (high << 8 | low)
            if end > size:
                break
            position = end
            if kind == _DATA and flags & _END_STREAM:
                answers.append(self._answer(stream))
            elif kind == _SETTINGS and not flags & _ACK:
                answers.append(_frame(_SETTINGS, _ACK, 0))
        return b"".join(answers), position

    def _answer(self, stream: int) -> bytes:
        return b"".join(
            (
                _frame(_HEADERS, _END_HEADERS, stream, _OK_BLOCK),
                _frame(_DATA, 0, stream, self._body),
                _frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, _END_BLOCK),
            )
        )


@contextmanager
def instant_server() -> Iterator[str]:
    """Runs one in a process of its own; yields host:port."""
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__))],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.kill()


def main() -> None:
    """Serves and prints the address; ends with its process."""
    server = InstantServer(canned_answer())
    print(server.address, flush=True)
    server.serve()


if __name__ == "__main__":
    main()
