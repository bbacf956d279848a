"""One suite for every KeyValueStore, then what only one backend can do wrong."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
)
from stepwell.stores.key_value_store import (
    MAX_BLOB_BYTES,
    WATERMARK_VIEW,
    Guard,
    KeyValueStore,
)
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore
from stepwell.stores.redis_cluster_fixture import redis_cluster
from stepwell.stores.redis_cluster_key_value_store import RedisClusterKeyValueStore
from stepwell.stores.redis_connection import connect
from stepwell.stores.redis_key_value_store import MAX_HOP_KEYS, RedisKeyValueStore
from stepwell.stores.redis_server_fixture import RedisServer, redis_server


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="module")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster.url


@pytest.fixture(params=["lmdb", "redis", "cluster"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValueStore]:
    made: KeyValueStore
    if request.param == "lmdb":
        made = LmdbKeyValueStore(tmp_path / "store.lmdb")
    elif request.param == "cluster":
        url = request.getfixturevalue("cluster_url")
        made = RedisClusterKeyValueStore(url, timeout_ms=2_000, prefix=f"{tmp_path}:")
    else:
        url = request.getfixturevalue("redis_url")
        made = RedisKeyValueStore(url, timeout_ms=2_000, prefix=f"{tmp_path}:")
    yield made
    made.close()


def test_returns_blobs_in_the_order_of_the_keys(store: KeyValueStore) -> None:
    store.put_many("history", {"a": b"1", "b": b"", "c": b"\0\xff"})
    found = store.get_many("history", ["c", "missing", "b", "a", "c"])
    assert found == [b"\0\xff", None, b"", b"1", b"\0\xff"]


def test_a_read_in_good_time_is_whole(store: KeyValueStore) -> None:
    store.put_many("history", {"a": b"1"})
    assert store.get_many("history", ["a", "b"], timeout_us=2_000_000) == [b"1", None]


def test_asking_for_nothing_returns_nothing(store: KeyValueStore) -> None:
    store.put_many("history", {})
    assert store.get_many("history", []) == []


def test_keeps_views_apart(store: KeyValueStore) -> None:
    store.put_many("one", {"a": b"1"})
    store.put_many("two", {"a": b"2"})
    assert store.get_many("one", ["a"]) == [b"1"]
    assert store.get_many("two", ["a"]) == [b"2"]


def test_rows_of_several_views_come_in_the_order_asked(store: KeyValueStore) -> None:
    store.put_many("one", {"ann": b"1", "bob": b"2"})
    store.put_many("two", {"ann": b"3"})
    store.put_many(WATERMARK_VIEW, {"one": b"99"})
    rows = [("two", "ann"), ("one", "ann"), (WATERMARK_VIEW, "one"), ("two", "bob")]
    assert store.get_rows(rows) == [b"3", b"1", b"99", None]
    assert store.get_rows(rows, timeout_us=2_000_000) == [b"3", b"1", b"99", None]
    assert store.get_rows([]) == []
    with pytest.raises(InvalidArgumentError, match="view"):
        store.get_rows([("one", "ann"), ("", "ann")])


def test_a_later_write_replaces_the_blob(store: KeyValueStore) -> None:
    store.put_many("history", {"a": b"1", "b": b"1"})
    store.put_many("history", {"a": b"2"})
    assert store.get_many("history", ["a", "b"]) == [b"2", b"1"]


def test_takes_ids_of_any_script_up_to_the_limit(store: KeyValueStore) -> None:
    user = "é" * 128
    store.put_many("history", {user: b"1"})
    assert store.get_many("history", [user]) == [b"1"]


def test_guarded_write_changes_several_views_when_the_guard_holds(
    store: KeyValueStore,
) -> None:
    changes = {"history": {"u": b"new"}, "offsets": {"updater": b"7"}}
    assert store.write_if(Guard("offsets", "updater", None), changes)
    assert store.get_many("history", ["u"]) == [b"new"]
    assert store.get_many("offsets", ["updater"]) == [b"7"]


def test_guarded_write_changes_nothing_when_the_guard_fails(
    store: KeyValueStore,
) -> None:
    store.put_many("offsets", {"updater": b"8"})
    changes = {"history": {"u": b"new"}, "offsets": {"updater": b"9"}}
    for expected in (None, b"7"):
        assert not store.write_if(Guard("offsets", "updater", expected), changes)
    assert store.get_many("history", ["u"]) == [None]
    assert store.get_many("offsets", ["updater"]) == [b"8"]


def test_of_many_concurrent_guarded_writers_each_step_has_one_winner(
    store: KeyValueStore,
) -> None:
    store.put_many("offsets", {"n": b"0"})
    wins: list[int] = []

    def count_up() -> None:
        for _ in range(40):
            (current,) = store.get_many("offsets", ["n"])
            assert current is not None
            following = str(int(current) + 1).encode()
            change = {"offsets": {"n": following}}
            if store.write_if(Guard("offsets", "n", current), change):
                wins.append(int(following))

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == list(range(1, len(wins) + 1))
    assert store.get_many("offsets", ["n"]) == [str(len(wins)).encode()]


@pytest.mark.parametrize(
    ("view", "key", "blob"),
    [
        ("", "a", b""),
        ("v" * 65, "a", b""),
        ("v\0", "a", b""),
        ("v", "", b""),
        ("v", "k" * 257, b""),
        ("v", "a", b"x" * (MAX_BLOB_BYTES + 1)),
    ],
)
def test_refuses_names_and_sizes_out_of_range(
    store: KeyValueStore, view: str, key: str, blob: bytes
) -> None:
    with pytest.raises(InvalidArgumentError, match=r"is \d+, must be in|zero byte"):
        store.put_many(view, {key: blob})


def test_lmdb_finds_its_blobs_again_after_reopening(tmp_path: Path) -> None:
    first = LmdbKeyValueStore(tmp_path / "s")
    first.put_many("history", {"a": b"1"})
    first.close()
    second = LmdbKeyValueStore(tmp_path / "s")
    assert second.get_many("history", ["a"]) == [b"1"]
    second.close()


def test_lmdb_names_the_folder_that_is_open_twice(tmp_path: Path) -> None:
    store = LmdbKeyValueStore(tmp_path / "s")
    with pytest.raises(FailedPreconditionError, match="open in this process"):
        LmdbKeyValueStore(tmp_path / "s")
    store.close()


def test_lmdb_says_at_opening_that_its_file_was_cut_short(tmp_path: Path) -> None:
    store = LmdbKeyValueStore(tmp_path / "s")
    store.put_many("history", {f"u{n}": bytes(9_000) for n in range(50)})
    store.close()
    file = tmp_path / "s" / "data.mdb"
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(DataLossError, match=r"s: data\.mdb is cut short"):
        LmdbKeyValueStore(tmp_path / "s")


def test_lmdb_that_is_closed_is_unavailable(tmp_path: Path) -> None:
    store = LmdbKeyValueStore(tmp_path / "s")
    store.close()
    with pytest.raises(UnavailableError, match="closed"):
        store.get_many("history", ["a"])
    with pytest.raises(UnavailableError, match="closed"):
        store.put_many("history", {"a": b""})


def test_lmdb_says_which_kind_of_argument_is_wrong(tmp_path: Path) -> None:
    store = LmdbKeyValueStore(tmp_path / "s")
    wrong: Any = [("v", "a", "b")]
    with pytest.raises(TypeError, match="no pair of view and key"):
        store.get_rows(wrong)
    store.close()


def test_lmdb_reads_beside_each_other_are_all_whole(tmp_path: Path) -> None:
    store = LmdbKeyValueStore(tmp_path / "s")
    blobs = {f"u{n}": bytes([n]) * 5_000 for n in range(200)}
    store.put_many("history", blobs)
    with ThreadPoolExecutor(8) as pool:
        # More than a request asks for: read without the interpreter.
        reads = pool.map(lambda _: store.get_many("history", list(blobs)), range(64))
        assert all(found == list(blobs.values()) for found in reads)
    store.close()


def test_lmdb_refuses_a_write_when_full_and_still_reads(tmp_path: Path) -> None:
    store = LmdbKeyValueStore(tmp_path / "s", map_size_bytes=256 << 10)
    store.put_many("history", {"a": b"1"})
    with pytest.raises(ResourceExhaustedError, match="full"):
        store.put_many("history", {f"k{n}": bytes(8_192) for n in range(64)})
    assert store.get_many("history", ["a", "k0"]) == [b"1", None]
    store.close()


def test_redis_that_is_full_is_resource_exhausted(tmp_path: Path) -> None:
    limits = ("--maxmemory", "1mb", "--maxmemory-policy", "noeviction")
    with redis_server(tmp_path / "r", limits) as server:
        store = RedisKeyValueStore(server.url, timeout_ms=2_000)
        with pytest.raises(ResourceExhaustedError, match="full"):
            store.put_many("v", {"a": bytes(MAX_BLOB_BYTES)})
        assert store.get_many("v", ["a"]) == [None]
        store.close()


def test_redis_that_is_paused_or_dead_is_unavailable_within_the_hop_budget(
    tmp_path: Path,
) -> None:
    with redis_server(tmp_path / "r") as server:
        store = RedisKeyValueStore(server.url, timeout_ms=50, bulk_timeout_ms=100)
        store.put_many("v", {"a": b"1"})
        _assert_unavailable_while_stopped(server, store)
        assert store.get_many("v", ["a"]) == [b"1"]
        server.process.kill()
        server.process.wait(timeout=10)
        with pytest.raises(UnavailableError):
            store.get_many("v", ["a"])
        store.close()


def _assert_unavailable_while_stopped(
    server: RedisServer, store: RedisKeyValueStore
) -> None:
    server.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(UnavailableError):
            store.get_many("v", ["a"])
        with pytest.raises(UnavailableError):
            store.put_many("v", {"b": b""})
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_redis_writes_and_large_reads_may_take_longer_than_a_hop(
    redis_url: str, tmp_path: Path
) -> None:
    store = RedisKeyValueStore(redis_url, timeout_ms=50, prefix=f"{tmp_path}:")
    users = {f"u{n}": bytes(1_000) for n in range(MAX_HOP_KEYS + 1)}
    operator = connect(redis_url, timeout_ms=2_000)
    operator.client_pause(300)  # the server holds every command back so long
    with pytest.raises(UnavailableError):
        store.get_many("v", ["u0"], timeout_us=60_000_000)
    store.put_many("v", users)
    operator.client_pause(300)
    assert store.get_many("v", list(users)) == list(users.values())
    operator.close()
    store.close()


def test_redis_is_asked_once_for_rows_of_several_views(
    redis_url: str, tmp_path: Path
) -> None:
    store = RedisKeyValueStore(redis_url, timeout_ms=2_000, prefix=f"{tmp_path}:")
    operator = connect(redis_url, timeout_ms=2_000)
    rows = [("one", "ann"), ("two", "ann"), (WATERMARK_VIEW, "one")]
    store.get_rows(rows, timeout_us=2_000_000)  # connects
    operator.config_resetstat()
    store.get_rows(rows, timeout_us=2_000_000)
    calls = dict(operator.info("commandstats"))
    calls.pop("cmdstat_config|resetstat")
    assert {name: stat["calls"] for name, stat in calls.items()} == {"cmdstat_mget": 1}
    operator.close()
    store.close()


def test_redis_url_of_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="http://x"):
        RedisKeyValueStore("http://x")
