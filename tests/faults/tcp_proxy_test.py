"""Each toxic does what it says, on open connections and on new ones, and ends."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from faults.tcp_proxy import TcpProxy, Toxics, tcp_proxy

PATIENCE_S = 5.0
SILENCE_S = 0.2


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65_536):
            self.request.sendall(data)


class _EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    with _EchoServer(("127.0.0.1", 0), _Echo) as server:
        serving = partial(server.serve_forever, poll_interval=0.01)
        threading.Thread(target=serving, daemon=True).start()
        with tcp_proxy(server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()


def _connected(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_S)


def _echoed(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return _received(connection, len(data))


def _received(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size and (piece := connection.recv(65_536)):
        received += piece
    return received


def test_a_healthy_proxy_passes_every_byte_in_order(proxy: TcpProxy) -> None:
    sent = bytes(range(256)) * 2_000
    with _connected(proxy) as connection:
        sender = threading.Thread(target=connection.sendall, args=(sent,))
        sender.start()
        assert _received(connection, len(sent)) == sent
        sender.join()


def test_latency_and_jitter_delay_what_is_answered_and_nothing_after_the_end(
    proxy: TcpProxy,
) -> None:
    with _connected(proxy) as connection:
        proxy.strike(Toxics(latency_ms=60, jitter_ms=20))
        started = time.monotonic()
        assert _echoed(connection, b"a") == b"a"
        assert time.monotonic() - started >= 0.06
        proxy.heal()
        assert min(_seconds(connection) for _ in range(20)) < 0.05


def _seconds(connection: socket.socket) -> float:
    started = time.monotonic()
    assert _echoed(connection, b"b") == b"b"
    return time.monotonic() - started


def test_a_narrow_line_takes_its_time(proxy: TcpProxy) -> None:
    with _connected(proxy) as connection:
        proxy.strike(Toxics(bandwidth_bytes_per_s=10_000))
        started = time.monotonic()
        assert _echoed(connection, bytes(1_000)) == bytes(1_000)
        assert time.monotonic() - started >= 0.1


def test_slices_trickle_in(proxy: TcpProxy) -> None:
    with _connected(proxy) as connection:
        proxy.strike(Toxics(slice_bytes=2, slice_delay_ms=20))
        started = time.monotonic()
        assert _echoed(connection, b"abcdefgh") == b"abcdefgh"
        # Three pauses lie between four pieces.
        assert time.monotonic() - started >= 0.06


@pytest.mark.parametrize("toxics", [Toxics(blackhole=True), Toxics(half_open=True)])
def test_a_silent_peer_takes_everything_and_answers_nothing(
    proxy: TcpProxy, toxics: Toxics
) -> None:
    with _connected(proxy) as before:
        assert _echoed(before, b"x") == b"x"
        proxy.strike(toxics)
        with _connected(proxy) as during:
            for connection in (before, during):
                connection.settimeout(SILENCE_S)
                connection.sendall(b"anybody?")
                with pytest.raises(TimeoutError):
                    connection.recv(1)
        proxy.heal()
        with _connected(proxy) as after:
            assert _echoed(after, b"y") == b"y"


def test_a_half_open_connection_stays_dead_after_the_end(proxy: TcpProxy) -> None:
    with _connected(proxy) as connection:
        assert _echoed(connection, b"x") == b"x"
        proxy.strike(Toxics(half_open=True))
        proxy.heal()
        connection.settimeout(SILENCE_S)
        connection.sendall(b"anybody?")
        with pytest.raises(TimeoutError):
            connection.recv(1)


@pytest.mark.parametrize("toxics", [Toxics(reset=True), Toxics(refuse=True)])
def test_a_reset_ends_open_connections(proxy: TcpProxy, toxics: Toxics) -> None:
    with _connected(proxy) as connection:
        assert _echoed(connection, b"x") == b"x"
        proxy.strike(toxics)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_new_connection_is_reset(proxy: TcpProxy) -> None:
    proxy.strike(Toxics(reset=True))
    with pytest.raises(ConnectionError):
        _ask_twice(proxy)
    proxy.heal()
    with _connected(proxy) as connection:
        assert _echoed(connection, b"x") == b"x"


def _ask_twice(proxy: TcpProxy) -> None:
    with _connected(proxy) as connection:
        for _ in range(2):
            _echoed(connection, b"x")


def test_nobody_listens_while_refusing_and_the_port_comes_back(
    proxy: TcpProxy,
) -> None:
    port = proxy.port
    proxy.strike(Toxics(refuse=True))
    with pytest.raises(ConnectionRefusedError):
        _connected(proxy)
    proxy.heal()
    assert proxy.port == port
    with _connected(proxy) as connection:
        assert _echoed(connection, b"x") == b"x"


def test_connections_are_counted_and_gone_with_their_clients(proxy: TcpProxy) -> None:
    with _connected(proxy) as one, _connected(proxy) as two:
        assert _echoed(one, b"x") == _echoed(two, b"x") == b"x"
        assert proxy.num_connections == 2
    pause = threading.Event()
    for _ in range(500):
        if proxy.num_connections == 0:
            break
        pause.wait(0.01)
    assert proxy.num_connections == 0
