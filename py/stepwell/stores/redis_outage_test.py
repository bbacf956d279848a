"""Redis that refuses, is silent, trickles or comes back: time, threads, descriptors."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from stepwell.base.errors import UnavailableError
from stepwell.stores.redis_key_value_store import RedisKeyValueStore
from stepwell.stores.redis_server_fixture import redis_server

HOP_MS = 20
# Far from the hop's 20 ms and from the sum of a trickle's waits, on a busy machine.
PATIENCE_S = 1.0


def _store(port: int, timeout_ms: int = HOP_MS) -> RedisKeyValueStore:
    return RedisKeyValueStore(f"redis://127.0.0.1:{port}/0", timeout_ms=timeout_ms)


def _num_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def _listening(serve: Callable[[socket.socket], None] | None) -> Iterator[int]:
    """A port that takes connections in, and serves each or says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        if serve is None:
            yield port
            return
        taking = threading.Thread(target=_take, args=(listener, serve))
        taking.start()
        yield port
        listener.shutdown(socket.SHUT_RDWR)
        taking.join()


def _take(listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            serve(connection)


def _trickle(connection: socket.socket) -> None:
    """A byte of an endless error every 5 ms, until the client has had enough."""
    connection.settimeout(0.005)
    try:
        while True:
            connection.sendall(b"-")
            try:
                if not connection.recv(4_096):
                    return
            except TimeoutError:
                continue
    except OSError:
        return


@contextmanager
def _refusing() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    yield port


OUTAGES = {
    "refused": _refusing,
    "silent": lambda: _listening(None),
    "trickling": lambda: _listening(_trickle),
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_costs_no_more_than_the_hop_and_leaves_nothing_open(
    outage: Callable[[], AbstractContextManager[int]],
) -> None:
    with outage() as port, closing(_store(port)) as store:
        _fail(store)
        descriptors, threads = _num_descriptors(), threading.active_count()
        started = time.monotonic()
        for _ in range(20):
            _fail(store)
        assert time.monotonic() - started < 20 * HOP_MS / 1_000 + PATIENCE_S
        assert _num_descriptors() <= descriptors + 1
        assert threading.active_count() == threads


@pytest.mark.parametrize("outage", [OUTAGES["silent"], OUTAGES["trickling"]])
def test_the_callers_time_is_the_limit_where_it_is_shorter(
    outage: Callable[[], AbstractContextManager[int]],
) -> None:
    with outage() as port, closing(_store(port, timeout_ms=60_000)) as store:
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            store.get_many("v", ["a"], timeout_us=10_000)
        assert time.monotonic() - started < PATIENCE_S


def _fail(store: RedisKeyValueStore) -> None:
    with pytest.raises(UnavailableError):
        store.get_many("v", ["a"], timeout_us=60_000_000)


def test_the_first_read_after_redis_is_back_is_answered(tmp_path: Path) -> None:
    with redis_server(tmp_path / "r") as server:
        store = _store(server.port, timeout_ms=2_000)
        store.put_many("v", {"a": b"1"})
        assert store.get_many("v", ["a"]) == [b"1"]
    _fail(store)
    with closing(store), redis_server(tmp_path / "r", port=server.port):
        # No retry, no back-off: connections of before are seen to be dead.
        assert store.get_many("v", ["a"]) == [b"1"]
