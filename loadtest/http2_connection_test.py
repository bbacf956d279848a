"""Frames that a usual answer does not have, sent by hand from the other end."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from http2_connection import Connection

_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW, _MORE = (
    0,
    1,
    3,
    4,
    6,
    7,
    8,
    9,
)
_OK = b"\x00\x0bgrpc-status\x010"
_PREFACE_BYTES = 24


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return (
        len(payload).to_bytes(3, "big")
        + struct.pack(">BBI", kind, flags, stream)
        + payload
    )


@dataclass
class Caller:
    """Notes what a connection says."""

    bodies: list[bytes] = field(default_factory=lambda: [b""] * 8)
    ended: list[tuple[int, bytes]] = field(default_factory=list)
    lost: list[tuple[int, bool]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def on_end(self, call: int, block: bytes) -> None:
        self.ended.append((call, block))

    def on_lost(self, call: int, unseen: bool) -> None:
        self.lost.append((call, unseen))

    def on_ready(self, connection: Connection) -> None:
        self.events.append("ready")

    def on_leaving(self, connection: Connection) -> None:
        self.events.append("leaving")


@dataclass
class Line:
    """A connection, its caller, and the server's end."""

    connection: Connection
    caller: Caller
    server: socket.socket

    def say(self, *frames: bytes) -> None:
        """Sends frames to the connection and lets it read them."""
        self.server.sendall(b"".join(frames))
        self.connection.on_readable()

    def heard(self) -> list[tuple[int, int, int, bytes]]:
        """Returns kind, flags, stream and bytes of the frames that came."""
        data = self.server.recv(1 << 20)
        if data.startswith(b"PRI "):
            data = data[_PREFACE_BYTES:]
        frames = []
        while data:
            size = int.from_bytes(data[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", data[3:9])
            frames.append((kind, flags, stream, data[9 : 9 + size]))
            data = data[9 + size :]
        return frames


@pytest.fixture
def line() -> Iterator[Line]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    caller = Caller()
    connection = Connection(ours, "shop:1", caller)
    connection.open()
    both = Line(connection, caller, theirs)
    both.heard()
    both.say(_frame(_SETTINGS, 0, 0))
    assert both.heard() == [(_SETTINGS, 1, 0, b"")]
    yield both
    connection.close()
    theirs.close()


def _begin(line: Line, call: int, size: int = 5) -> int:
    stream = line.connection.begin(call, "/a/B", b"x" * size, 20_000)
    line.heard()
    return stream


def test_is_ready_once_the_server_has_said_its_settings(line: Line) -> None:
    assert line.caller.events == ["ready"]
    line.say(_frame(_SETTINGS, 0, 0))
    assert line.caller.events == ["ready"]


def test_an_answer_may_come_in_any_pieces(line: Line) -> None:
    stream = _begin(line, 3)
    answer = b"".join(
        (
            _frame(_HEADERS, 4, stream, b"\x88"),
            _frame(_DATA, 0, stream, b"\0\0\0\0\x04ab"),
            _frame(_DATA, 8, stream, b"\x03cd" + b"\0" * 3),  # padded
            _frame(_HEADERS, 1, stream, _OK[:5]),  # to be continued
            _frame(_MORE, 4, stream, _OK[5:]),
        )
    )
    for position in range(len(answer)):
        line.say(answer[position : position + 1])
    assert line.caller.bodies[3] == b"\0\0\0\0\x04abcd"
    assert line.caller.ended == [(3, _OK)]


def test_trailers_may_have_a_priority(line: Line) -> None:
    stream = _begin(line, 1)
    line.say(_frame(_HEADERS, 0x25, stream, b"\0" * 5 + _OK))
    assert line.caller.ended == [(1, _OK)]


def test_an_answer_without_trailers_ends_without_a_status(line: Line) -> None:
    stream = _begin(line, 1)
    line.say(_frame(_DATA, 1, stream, b"sorry"))
    assert line.caller.ended == [(1, b"")]


def test_a_ping_comes_back(line: Line) -> None:
    line.say(_frame(_PING, 0, 0, b"12345678"))
    assert line.heard() == [(_PING, 1, 0, b"12345678")]


@pytest.mark.parametrize(("code", "unseen"), [(7, True), (2, False), (8, False)])
def test_a_reset_loses_the_call_and_says_if_it_was_never_begun(
    line: Line, code: int, unseen: bool
) -> None:
    stream = _begin(line, 5)
    line.say(_frame(_RST, 0, stream, struct.pack(">I", code)))
    assert line.caller.lost == [(5, unseen)]
    line.say(_frame(_HEADERS, 5, stream, _OK))
    assert line.caller.ended == []


def test_goaway_loses_only_what_was_not_begun(line: Line) -> None:
    first, second = _begin(line, 1), _begin(line, 2)
    line.say(_frame(_GOAWAY, 0, 0, struct.pack(">II", first, 0)))
    assert line.caller.lost == [(2, True)]
    assert line.caller.events == ["ready", "leaving"]
    assert not line.connection.ready
    line.say(_frame(_HEADERS, 5, first, _OK), _frame(_HEADERS, 5, second, _OK))
    assert line.caller.ended == [(1, _OK)]


def test_a_closed_line_loses_every_open_call_once(line: Line) -> None:
    _begin(line, 1)
    _begin(line, 2)
    line.server.shutdown(socket.SHUT_RDWR)
    line.connection.on_readable()
    line.connection.on_readable()
    assert line.caller.lost == [(1, False), (2, False)]
    assert line.caller.events == ["ready", "leaving"]


def test_a_cancelled_call_is_reset_and_its_answer_ignored(line: Line) -> None:
    stream = _begin(line, 1)
    line.connection.cancel(stream)
    assert line.heard() == [(_RST, 0, stream, struct.pack(">I", 8))]
    line.say(_frame(_DATA, 0, stream, b"late"), _frame(_HEADERS, 5, stream, _OK))
    assert line.caller.bodies[1] == b""
    assert line.caller.ended == []
    line.connection.cancel(stream)
    line.say(_frame(_PING, 0, 0, b"12345678"))
    assert [kind for kind, *_ in line.heard()] == [_PING]


def test_sends_no_more_than_the_server_has_room_for(line: Line) -> None:
    connection = line.connection
    stream = _begin(line, 1, size=60_000)
    assert not connection.has_room(6_000)
    assert connection.has_room(5_535)
    line.say(_frame(_WINDOW, 0, stream, struct.pack(">I", 9_000)))
    assert not connection.has_room(6_000)
    line.say(_frame(_WINDOW, 0, 0, struct.pack(">I", 9_000)))
    assert connection.has_room(6_000)


def test_keeps_to_the_streams_and_the_window_that_settings_allow(line: Line) -> None:
    line.say(_frame(_SETTINGS, 0, 0, struct.pack(">HIHI", 3, 1, 4, 100)))
    assert not line.connection.has_room(101)
    assert line.connection.has_room(100)
    _begin(line, 1)
    assert not line.connection.has_room(100)


def test_what_calls_share_is_sent_once_where_the_server_keeps_a_table(
    line: Line,
) -> None:
    sizes = []
    for call in range(3):
        line.connection.begin(call, "/a/B", b"x", 20_000)
        sizes.append(len(line.heard()[0][3]))
    assert sizes[0] > 2 * sizes[1]
    assert sizes[1] == sizes[2]


def test_a_server_without_a_table_is_told_everything(line: Line) -> None:
    line.say(_frame(_SETTINGS, 0, 0, struct.pack(">HI", 1, 0)))
    line.heard()
    for call in range(2):
        line.connection.begin(call, "/a/B", b"x", 20_000)
        assert b"/a/B" in line.heard()[0][3]


def test_a_long_message_ends_with_its_last_frame(line: Line) -> None:
    line.connection.begin(1, "/a/B", b"x" * 40_000, 20_000)
    _, *data = line.heard()
    assert [len(payload) for *_, payload in data] == [16_384, 16_384, 7_232]
    assert [flags for _, flags, *_ in data] == [0, 0, 1]


def test_what_the_socket_does_not_take_waits_for_it(line: Line) -> None:
    line.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    line.connection.begin(1, "/a/B", b"x" * 60_000, 20_000)
    line.server.settimeout(5.0)
    waited = [line.connection.wants_write]
    received = 0
    while received < 60_000:
        received += len(line.server.recv(1 << 20))
        line.connection.on_writable()
        waited.append(line.connection.wants_write)
    assert waited[0]
    assert not waited[-1]
