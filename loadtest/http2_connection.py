"""One HTTP/2 connection that makes unary gRPC calls for next to nothing.

Frames are written and read by hand (RFC 9113): a general client costs more processor
time a call than the server under test has to spare on a shared machine.
"""

import socket
import struct
from dataclasses import dataclass, field
from typing import Protocol

from header_blocks import first_block, later_block, literal_block, timeout_field

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_WINDOW_UPDATE, _CONTINUATION = 8, 9
_END_STREAM = _ACK = 0x1
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
_PLAIN_END = _END_STREAM | _END_HEADERS
_HEADER_TABLE_SIZE, _MAX_STREAMS, _INITIAL_WINDOW = 1, 3, 4
_OUR_WINDOW = (1 << 31) - 1
_DEFAULT_WINDOW = 65_535
_RENEW_BYTES = 1 << 28
_MIN_TABLE_BYTES = 1_024
_MAX_FRAME_BYTES = 16_384
_CANCEL = 8
# Above 128 KiB malloc maps memory and unmaps it again for every read.
_RECEIVE_BYTES = 1 << 15
_USER_AGENT = "stepwell-load"

_head = struct.Struct(">HBBBI")
_setting = struct.Struct(">HI")

UNAVAILABLE = 14


class Owner(Protocol):
    """Who makes the calls and learns what came of them, by number of the call.

    Attributes:
        bodies: bytes of each answer with gRPC's prefix, b"" while there are none.
    """

    bodies: list[bytes]

    def on_end(self, call: int, block: bytes) -> None:
        """An answer is complete; `block` are its last headers."""

    def on_lost(self, call: int, unseen: bool) -> None:
        """There will be no answer; `unseen`: the server says it never began."""

    def on_ready(self, connection: "Connection") -> None:
        """A connection takes calls from now on."""

    def on_leaving(self, connection: "Connection") -> None:
        """A connection takes no more calls; its socket may still be open."""


@dataclass(slots=True)
class _Peer:
    """What the server has announced, and what it still lets us send."""

    window: int = _DEFAULT_WINDOW
    stream_window: int = _DEFAULT_WINDOW
    max_streams: int = 1 << 30
    keeps_table: bool = True


@dataclass(slots=True)
class _Blocks:
    """Prebuilt header blocks by path."""

    authority: str
    first_path: str = ""
    by_path: dict[str, bytes] = field(default_factory=dict)

    def of(self, path: str, keeps_table: bool) -> bytes:
        """Returns the block of the next call on this connection."""
        block = self.by_path.get(path)
        if block is not None:
            return block
        if not keeps_table:
            block = literal_block(self.authority, path, _USER_AGENT)
        elif not self.first_path:
            self.first_path = path
            return first_block(self.authority, path, _USER_AGENT)
        else:
            block = later_block(path, self.first_path)
        self.by_path[path] = block
        return block


class Connection:
    """A connected socket and the calls that are open on it.

    Args:
        connection: non-blocking, TCP_NODELAY, connected or connecting.
        authority: host:port as the server shall see it.
        owner: who learns of answers.

    Concurrency: one thread.
    """

    __slots__ = (
        "_blocks",
        "_headers",
        "_next_stream",
        "_owner",
        "_peer",
        "_received",
        "_rest",
        "_unsent",
        "closed",
        "draining",
        "ready",
        "socket",
        "streams",
    )

    def __init__(self, connection: socket.socket, authority: str, owner: Owner) -> None:
        self.socket = connection
        self.streams: dict[int, int] = {}
        self.ready = self.draining = self.closed = False
        self._owner = owner
        self._blocks = _Blocks(authority)
        self._peer = _Peer()
        self._next_stream = 1
        self._received = 0
        self._rest = b""
        self._unsent = b""
        self._headers: tuple[int, int, bytes] | None = None

    @property
    def wants_write(self) -> bool:
        """True while bytes wait for the socket to take them."""
        return bool(self._unsent)

    def open(self) -> None:
        """Sends the preface; call once the socket is connected."""
        settings = _setting.pack(_HEADER_TABLE_SIZE, 0) + _setting.pack(
            _INITIAL_WINDOW, _OUR_WINDOW
        )
        grow = struct.pack(">I", _OUR_WINDOW - _DEFAULT_WINDOW)
        self._send(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, settings)
            + _frame(_WINDOW_UPDATE, 0, 0, grow)
        )

    def has_room(self, num_bytes: int) -> bool:
        """True when a call with a message of so many bytes may begin now."""
        peer = self._peer
        return (
            num_bytes <= peer.window
            and num_bytes <= peer.stream_window
            and len(self.streams) < peer.max_streams
        )

    def begin(self, call: int, path: str, message: bytes, timeout_us: int) -> int:
        """Sends a call and returns its stream; `message` has gRPC's 5-byte prefix."""
        stream = self._next_stream
        self._next_stream = stream + 2
        peer = self._peer
        peer.window -= len(message)
        self.streams[stream] = call
        block = self._blocks.of(path, peer.keeps_table) + timeout_field(timeout_us)
        length, size = len(block), len(message)
        head = _head.pack(length >> 8, length & 0xFF, _HEADERS, _END_HEADERS, stream)
        if size <= _MAX_FRAME_BYTES:
            data = _head.pack(size >> 8, size & 0xFF, _DATA, _END_STREAM, stream)
            self._send(b"".join((head, block, data, message)))
        else:
            self._send(b"".join((head, block, _split(stream, message))))
        return stream

    def cancel(self, stream: int) -> None:
        """Tells the server that nobody waits for a call any more."""
        if self.streams.pop(stream, None) is not None and not self.closed:
            self._send(_frame(_RST_STREAM, 0, stream, struct.pack(">I", _CANCEL)))

    def on_writable(self) -> None:
        """Sends what the socket did not take before."""
        waiting, self._unsent = self._unsent, b""
        self._send(waiting)

    def on_readable(self) -> None:
        """Reads what has come and hands it on."""
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        if self._rest:
            data = self._rest + data
        self._rest = data[self._read(data) :]

    def close(self) -> None:
        """Closes the socket; every open call is lost."""
        if self.closed:
            return
        self.closed, self.ready = True, False
        self._owner.on_leaving(self)
        self.socket.close()
        lost = list(self.streams.values())
        self.streams.clear()
        for call in lost:
            self._owner.on_lost(call, False)

    def _send(self, data: bytes) -> None:
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._unsent = data[sent:]

    def _read(self, data: bytes) -> int:
        """Handles the whole frames of `data`; returns where the rest begins."""
        position, size = 0, len(data)
        streams, bodies = self.streams, self._owner.bodies
        while size - position >= 9:
            high, low, kind, flags, stream = _head.unpack_from(data, position)
            begin = position + 9
            end = begin + (high << 8 | low)
            if end > size:
                break
            position = end
            if kind == _HEADERS and flags == _END_HEADERS:
                continue  # the first headers of an answer say nothing
            if kind == _DATA and not flags:
                call = streams.get(stream)
                if call is not None:
                    bodies[call] += data[begin:end]
                self._received += end - begin
            elif kind == _HEADERS and flags == _PLAIN_END:
                call = streams.pop(stream, None)
                if call is not None:
                    self._owner.on_end(call, data[begin:end])
            else:
                self._on_frame(kind, flags, stream, data[begin:end])
        if self._received >= _RENEW_BYTES:
            grown = struct.pack(">I", self._received)
            self._received = 0
            self._send(_frame(_WINDOW_UPDATE, 0, 0, grown))
        return position

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Handles the frames that a usual answer does not have."""
        if kind == _DATA:
            self._received += len(payload)
            call = self.streams.get(stream)
            if call is not None:
                self._owner.bodies[call] += _unpadded(flags, payload)
            if flags & _END_STREAM:
                self._end(stream, b"")
        elif kind == _HEADERS:
            self._on_headers(flags, stream, payload)
        elif kind == _CONTINUATION and self._headers is not None:
            first_flags, of_stream, block = self._headers
            self._headers = None
            self._on_headers(
                first_flags & _END_STREAM | flags, of_stream, block + payload
            )
        elif kind == _RST_STREAM:
            self._on_reset(stream, payload)
        elif kind == _SETTINGS and not flags & _ACK:
            self._on_settings(payload)
        elif kind == _PING and not flags & _ACK:
            self._send(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            self._on_goaway(payload)
        elif kind == _WINDOW_UPDATE and stream == 0:
            self._peer.window += int.from_bytes(payload, "big") & _OUR_WINDOW

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        block = _unpadded(flags, payload)
        if flags & _PRIORITY:
            block = block[5:]
        if not flags & _END_HEADERS:
            self._headers = (flags & _END_STREAM, stream, block)
        elif flags & _END_STREAM:
            self._end(stream, block)

    def _end(self, stream: int, block: bytes) -> None:
        call = self.streams.pop(stream, None)
        if call is not None:
            self._owner.on_end(call, block)

    def _on_reset(self, stream: int, payload: bytes) -> None:
        call = self.streams.pop(stream, None)
        if call is not None:
            refused = int.from_bytes(payload, "big") == 7
            self._owner.on_lost(call, refused)

    def _on_settings(self, payload: bytes) -> None:
        peer = self._peer
        for key, value in _setting.iter_unpack(payload):
            if key == _HEADER_TABLE_SIZE:
                peer.keeps_table = value >= _MIN_TABLE_BYTES
            elif key == _MAX_STREAMS:
                peer.max_streams = value
            elif key == _INITIAL_WINDOW:
                peer.stream_window = value
        self._send(_frame(_SETTINGS, _ACK, 0, b""))
        if not (self.ready or self.closed or self.draining):
            self.ready = True
            self._owner.on_ready(self)

    def _on_goaway(self, payload: bytes) -> None:
        """Takes no further call; those that the server never began are lost."""
        if not self.draining:
            self.draining, self.ready = True, False
            self._owner.on_leaving(self)
        last = int.from_bytes(payload[:4], "big") & _OUR_WINDOW
        unseen = [stream for stream in self.streams if stream > last]
        for call in [self.streams.pop(stream) for stream in unseen]:
            self._owner.on_lost(call, True)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return _head.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def _split(stream: int, message: bytes) -> bytes:
    """Returns DATA frames for a message longer than one frame may be."""
    starts = range(0, len(message), _MAX_FRAME_BYTES)
    return b"".join(
        _frame(
            _DATA,
            _END_STREAM if start == starts[-1] else 0,
            stream,
            message[start : start + _MAX_FRAME_BYTES],
        )
        for start in starts
    )


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & _PADDED:
        return payload
    return payload[1 : len(payload) - payload[0]]
