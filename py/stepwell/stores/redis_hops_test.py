"""Reads of the request path: replies are their own, and the dead are replaced."""

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from stepwell.base.errors import UnavailableError
from stepwell.stores.redis_connection import connect, is_timed
from stepwell.stores.redis_hops import RedisHops
from stepwell.stores.redis_key_value_store import RedisKeyValueStore
from stepwell.stores.redis_server_fixture import RedisServer, redis_server

PATIENT_US, PATIENT_MS = 5_000_000, 5_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "r") as running:
        yield running


def _ask(client: Any, *command: str) -> None:
    client.execute_command(*command)


@pytest.fixture
def hops(server: RedisServer) -> Iterator[RedisHops]:
    client = connect(server.url, PATIENT_MS)
    with closing(client):
        yield RedisHops(client)


def test_replies_come_in_the_order_of_the_keys(
    server: RedisServer, hops: RedisHops
) -> None:
    large = os.urandom(300_000)  # many times what one read takes
    with closing(redis.Redis.from_url(server.url)) as writer:
        writer.mset({"a": b"1", "b": large})
    for _ in range(3):
        reply = hops.mget([b"b", b"none", b"a"], PATIENT_US)
        assert reply == [large, None, b"1"]


def test_calls_after_one_another_share_a_connection(
    server: RedisServer, hops: RedisHops
) -> None:
    with closing(redis.Redis.from_url(server.url)) as other:
        hops.mget([b"a"], PATIENT_US)
        before = other.info("clients")["connected_clients"]
        for _ in range(5):
            hops.mget([b"a"], PATIENT_US)
        assert other.info("clients")["connected_clients"] == before


def test_threads_get_their_own_replies(server: RedisServer, hops: RedisHops) -> None:
    keys = [b"key-%d" % number for number in range(8)]
    with closing(redis.Redis.from_url(server.url)) as writer:
        writer.mset({key: key * 100 for key in keys})
    wrong: list[bytes] = []

    def ask(key: bytes) -> None:
        for _ in range(50):
            if hops.mget([key], PATIENT_US) != [key * 100]:
                wrong.append(key)

    threads = [threading.Thread(target=ask, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_reply_that_comes_too_late_is_nobody_elses() -> None:
    given_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        late = threading.Thread(target=_late_server, args=(listener, given_up))
        late.start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0?protocol=2"
        with closing(connect(url, PATIENT_MS)) as client:
            hops = RedisHops(client)
            with pytest.raises(TimeoutError):
                hops.mget([b"late"], 200_000)
            given_up.set()
            assert hops.mget([b"next"], PATIENT_US) == [b"next"]
        late.join()


def _late_server(listener: socket.socket, given_up: threading.Event) -> None:
    """Answers what its first connection asks only when nobody waits for it."""
    for reply in (b"*1\r\n$4\r\nlate\r\n", b"*1\r\n$4\r\nnext\r\n"):
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            while b"MGET" not in (asked := connection.recv(4_096)):
                if not asked:
                    raise ConnectionError
                connection.sendall(b"+OK\r\n" * asked.count(b"CLIENT"))
            if b"late" in reply:
                given_up.wait()
            connection.sendall(reply)
            connection.recv(1)


def test_a_read_takes_no_longer_than_it_may(
    server: RedisServer, hops: RedisHops
) -> None:
    hops.mget([b"a"], PATIENT_US)
    server.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            hops.mget([b"a"], 30_000)
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert hops.mget([b"a"], PATIENT_US) == [None]


def test_what_is_no_reply_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=_babbling_server, args=(listener,))
        server.start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0?protocol=2"
        store = RedisKeyValueStore(url, timeout_ms=PATIENT_MS)
        with closing(store), pytest.raises(UnavailableError, match="no reply"):
            store.get_many("v", ["a"], PATIENT_US)
        server.join()


def _babbling_server(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        while b"MGET" not in (asked := connection.recv(4_096)):
            connection.sendall(b"+OK\r\n" * asked.count(b"CLIENT"))
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")
        connection.recv(1)


def test_the_first_read_after_a_restart_is_answered(tmp_path: Path) -> None:
    with redis_server(tmp_path / "r") as server:
        store = RedisKeyValueStore(server.url, timeout_ms=PATIENT_MS)
        store.put_many("v", {"a": b"1"})
        assert store.get_many("v", ["a"], PATIENT_US) == [b"1"]
    with pytest.raises(UnavailableError, match="get v"):
        store.get_many("v", ["a"], PATIENT_US)
    with closing(store), redis_server(tmp_path / "r", port=server.port):
        assert store.get_many("v", ["a"], PATIENT_US) == [b"1"]


def test_an_idle_connection_that_died_is_replaced(
    server: RedisServer, hops: RedisHops
) -> None:
    hops.mget([b"a"], PATIENT_US)
    with closing(redis.Redis.from_url(server.url)) as other:
        _ask(other, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert hops.mget([b"a"], PATIENT_US) == [None]


def test_an_error_of_the_server_is_raised_and_the_connection_kept(
    server: RedisServer,
) -> None:
    store = RedisKeyValueStore(server.url, timeout_ms=PATIENT_MS)
    with closing(redis.Redis.from_url(server.url)) as other, closing(store):
        assert store.get_many("v", ["a"], PATIENT_US) == [None]
        number = len(other.client_list())
        _ask(other, "ACL", "SETUSER", "default", "-mget")
        with pytest.raises(UnavailableError, match="permissions"):
            store.get_many("v", ["a"], PATIENT_US)
        _ask(other, "ACL", "SETUSER", "default", "+mget")
        assert store.get_many("v", ["a"], PATIENT_US) == [None]
        assert len(other.client_list()) == number


def test_a_unix_socket_is_read_alike() -> None:
    # A socket's name has room for some hundred bytes: not every folder's fits.
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/s"
        with redis_server(Path(folder) / "r", ("--unixsocket", path)):
            store = RedisKeyValueStore(f"unix://{path}", timeout_ms=PATIENT_MS)
            with closing(store):
                store.put_many("v", {"a": b"1"})
                assert store.get_many("v", ["a", "b"], PATIENT_US) == [b"1", None]


def test_connections_under_tls_go_the_clients_own_way() -> None:
    assert not is_timed(connect("rediss://127.0.0.1:1/0", 5))
    assert is_timed(connect("redis://127.0.0.1:1/0", 5))
