"""What only a cluster can do: be asked in one place, move slots, lose nodes, split."""

import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.stores.key_value_store import WATERMARK_VIEW, Guard
from stepwell.stores.redis_cluster_fixture import RedisCluster, redis_cluster
from stepwell.stores.redis_cluster_key_value_store import RedisClusterKeyValueStore
from stepwell.stores.redis_cluster_nodes import ClusterUrl
from stepwell.stores.redis_cluster_writes import GuardedWrite
from stepwell.stores.redis_server_fixture import RedisServer, free_port, redis_server

PATIENT_US, PATIENT_MS = 5_000_000, 5_000
SHORT_MS = 50


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def store(cluster: RedisCluster, tmp_path: Path) -> Iterator[RedisClusterKeyValueStore]:
    made = RedisClusterKeyValueStore(cluster.url, PATIENT_MS, f"{tmp_path}:")
    with closing(made):
        yield made


def _ask(node: RedisServer, *words: str) -> Any:
    with closing(redis.Redis(port=node.port, protocol=2)) as client:
        return client.execute_command(*words)  # type: ignore[no-untyped-call]


def _num_connections_ever(node: RedisServer) -> int:
    return int(_ask(node, "INFO", "stats")["total_connections_received"])


def _slot(user: str) -> int:
    return key_slot(b"{=" + user.encode() + b"}")


def _users_of(cluster: RedisCluster) -> list[str]:
    """One user of each node."""
    users: dict[int, str] = {}
    for n in range(1_000):
        users.setdefault(cluster.node_of(_slot(f"u{n}")).port, f"u{n}")
    return [users[node.port] for node in cluster.nodes]


def test_what_a_request_needs_of_a_user_is_one_command_to_one_node(
    cluster: RedisCluster, store: RedisClusterKeyValueStore
) -> None:
    store.put_many(WATERMARK_VIEW, {"one": b"9", "two": b"8"})
    for view in ("one", "two", "three"):
        store.put_many(view, {"ann": view.encode()})
    rows = [(view, "ann") for view in ("one", "two", "three")]
    rows += [(WATERMARK_VIEW, "one"), (WATERMARK_VIEW, "two")]
    expected = [b"one", b"two", b"three", b"9", b"8"]
    assert store.get_rows(rows, PATIENT_US) == expected  # connects, asks for both
    for node in cluster.nodes:
        _ask(node, "CONFIG RESETSTAT")
    assert store.get_rows(rows, PATIENT_US) == expected
    stats = [_ask(node, "INFO", "commandstats") for node in cluster.nodes]
    mgets = [stat["cmdstat_mget"]["calls"] for stat in stats if "cmdstat_mget" in stat]
    assert mgets == [1]


def test_no_request_connects_where_all_nodes_are_there(
    cluster: RedisCluster, store: RedisClusterKeyValueStore
) -> None:
    before = [_num_connections_ever(node) for node in cluster.nodes]
    for user in _users_of(cluster):
        assert store.get_many("v", [user], PATIENT_US) == [None]
    after = [_num_connections_ever(node) for node in cluster.nodes]
    assert after == [number + 1 for number in before]  # the question's own


@pytest.mark.parametrize("user", ["}", "{", "{x}", "a}b", "{}", "é"])
def test_all_views_of_any_user_lie_together(
    store: RedisClusterKeyValueStore, user: str
) -> None:
    views = ["v", "w}", "{x"]
    for view in views:
        store.put_many(view, {user: view.encode()})
    found = store.get_rows([(view, user) for view in views], PATIENT_US)
    assert found == [view.encode() for view in views]


def test_names_never_run_together(store: RedisClusterKeyValueStore) -> None:
    store.put_many("b}c", {"a": b"1"})
    assert store.get_many("c", ["a}b"]) == [None]


def _write(
    store: RedisClusterKeyValueStore, folder: Path, expected: bytes | None
) -> GuardedWrite:
    guarded = f"{folder}:{{guard}}".encode()
    nodes = store._nodes.cluster()
    return GuardedWrite(nodes, guarded, expected, guarded + b" number")


def _row(
    folder: Path, user: str, blob: bytes
) -> list[tuple[bytes, dict[bytes, bytes]]]:
    tag = f"{folder}:{{{user}}}".encode()
    return [(tag + b" by", {tag: blob})]


def raising(error: Exception) -> Callable[..., None]:
    def call(*_: object) -> None:
        raise error

    return call


def _blob(store: RedisClusterKeyValueStore, folder: Path, user: str) -> bytes | None:
    client: Any = store._nodes.cluster()
    blob: bytes | None = client.get(f"{folder}:{{{user}}}")
    return blob


def test_a_writer_that_was_overtaken_changes_no_key_of_the_later_ones(
    store: RedisClusterKeyValueStore, tmp_path: Path
) -> None:
    early, late = (_write(store, tmp_path, None) for _ in range(2))
    assert early.begin()
    assert late.begin()
    assert late.write(_row(tmp_path, "ann", b"late"))
    assert not early.write(_row(tmp_path, "ann", b"early"))
    assert not early.commit({})
    assert _blob(store, tmp_path, "ann") == b"late"
    assert late.commit({f"{tmp_path}:{{guard}}".encode(): b"1"})
    assert not _write(store, tmp_path, None).begin()
    assert _write(store, tmp_path, b"1").begin()


def test_who_began_before_another_may_not_move_the_guard_under_it(
    store: RedisClusterKeyValueStore, tmp_path: Path
) -> None:
    early, late = (_write(store, tmp_path, None) for _ in range(2))
    assert early.begin()
    assert early.write(_row(tmp_path, "ann", b"early"))
    assert late.begin()
    assert not early.commit({})
    assert late.write(_row(tmp_path, "ann", b"late"))
    assert late.commit({})


def test_numbers_that_a_crash_set_back_are_passed_by(
    store: RedisClusterKeyValueStore, tmp_path: Path
) -> None:
    for _ in range(3):
        before = _write(store, tmp_path, None)
        assert before.begin()
    assert before.write(_row(tmp_path, "ann", b"before"))
    client: Any = store._nodes.cluster()
    client.delete(f"{tmp_path}:{{guard}} number")
    first, second = (_write(store, tmp_path, None) for _ in range(2))
    assert first.begin()
    assert not first.write(_row(tmp_path, "ann", b"after"))
    assert second.begin()
    assert second.write(_row(tmp_path, "ann", b"after"))
    assert second.commit({})


def test_a_guarded_write_that_fails_leaves_the_watermark_where_it_was(
    store: RedisClusterKeyValueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {
        WATERMARK_VIEW: {"history": b"2"},
        "history": {"ann": b"2"},
        "offsets": {"updater": b"2"},
    }
    assert store.write_if(
        Guard("offsets", "updater", None),
        {"offsets": {"updater": b"1"}, WATERMARK_VIEW: {"history": b"1"}},
    )
    with monkeypatch.context() as patch:
        patch.setattr(GuardedWrite, "commit", lambda write, blobs: False)
        assert not store.write_if(Guard("offsets", "updater", b"1"), changes)
    asked = [("history", "ann"), (WATERMARK_VIEW, "history"), ("offsets", "updater")]
    assert store.get_rows(asked) == [b"2", b"1", b"1"]
    assert store.write_if(Guard("offsets", "updater", b"1"), changes)
    assert store.get_rows(asked) == [b"2", b"2", b"2"]


def test_thousands_of_keys_are_written_and_read(
    store: RedisClusterKeyValueStore,
) -> None:
    users = {f"u{n}": b"%d" % n for n in range(1_000)}
    assert store.write_if(Guard("offsets", "n", None), {"history": users})
    assert store.get_many("history", list(users)) == list(users.values())


def test_a_key_on_its_way_to_another_node_is_found_before_and_after(
    cluster: RedisCluster, store: RedisClusterKeyValueStore
) -> None:
    user, slot = "moving", _slot("moving")
    store.put_many("v", {user: b"1"})
    assert store.get_many("v", [user], PATIENT_US) == [b"1"]
    source = cluster.node_of(slot)
    target = next(node for node in cluster.nodes if node is not source)
    source_id, target_id = (
        str(_ask(node, "CLUSTER MYID"), "ascii") for node in (source, target)
    )
    _ask(target, "CLUSTER SETSLOT", str(slot), "IMPORTING", source_id)
    _ask(source, "CLUSTER SETSLOT", str(slot), "MIGRATING", target_id)
    (key,) = _ask(source, "CLUSTER GETKEYSINSLOT", str(slot), "2")
    target_words = ("127.0.0.1", str(target.port), key, "0", "5000")
    _ask(source, "MIGRATE", *target_words)
    assert store.get_many("v", [user], PATIENT_US) == [b"1"]  # ASK
    for node in (target, source):
        _ask(node, "CLUSTER SETSLOT", str(slot), "NODE", target_id)
    assert store.get_many("v", [user], PATIENT_US) == [b"1"]  # MOVED
    store.put_many("v", {user: b"2"})
    assert store.get_many("v", [user]) == [b"2"]


def test_a_user_called_like_the_watermarks_has_rows_of_its_own(
    store: RedisClusterKeyValueStore,
) -> None:
    rows = dict.fromkeys((WATERMARK_VIEW, "watermarks", "=watermarks"), b"1")
    guard = Guard("offsets", "updater", None)
    assert store.write_if(guard, {"v": rows, WATERMARK_VIEW: {"v": b"9"}})
    asked = [("v", name) for name in rows]
    assert store.get_rows(asked, PATIENT_US) == [b"1"] * 3
    store.put_many("v", dict.fromkeys(rows, b"2"))
    assert store.get_rows(asked, PATIENT_US) == [b"2"] * 3


def test_a_redirection_without_a_host_means_the_host_that_was_asked(
    cluster: RedisCluster,
    store: RedisClusterKeyValueStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.put_many("v", {"ann": b"1"})
    owner = cluster.node_of(_slot("ann"))
    said = redis.ResponseError(f"MOVED {_slot('ann')} :{owner.port}")
    hops = store._nodes._hops

    def astray(host: str, port: int) -> Any:
        monkeypatch.setattr(store._nodes, "_hops", hops)
        return SimpleNamespace(mget=raising(said))

    monkeypatch.setattr(store._nodes, "_hops", astray)
    assert store.get_many("v", ["ann"], PATIENT_US) == [b"1"]


def test_a_slot_that_nobody_was_known_to_have_is_learnt_again(
    store: RedisClusterKeyValueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_many("v", {"ann": b"1"})
    nodes = store._nodes
    nodes.cluster().nodes_manager.slots_cache.pop(_slot("ann"))
    with pytest.raises(UnavailableError):
        store.get_many("v", ["ann"], PATIENT_US)
    assert nodes._learner is not None
    nodes._learner.join()
    assert store.get_many("v", ["ann"], PATIENT_US) == [b"1"]


def test_a_node_that_hangs_costs_its_own_users_the_hop_and_the_others_nothing(
    cluster: RedisCluster, tmp_path: Path
) -> None:
    mark = (WATERMARK_VIEW, "v")
    users = _users_of(cluster)
    made = RedisClusterKeyValueStore(cluster.url, SHORT_MS, f"{tmp_path}:")
    with closing(made) as store:
        store.put_many(WATERMARK_VIEW, {"v": b"9"})
        store.put_many("v", dict.fromkeys(users, b"1"))
        for user in users:
            assert store.get_rows([("v", user), mark], PATIENT_US) == [b"1", b"9"]
        for node, own in zip(cluster.nodes, users, strict=True):
            node.process.send_signal(signal.SIGSTOP)
            try:
                with pytest.raises(UnavailableError):
                    store.get_rows([("v", own), mark], PATIENT_US)
                for user in set(users) - {own}:
                    found = store.get_rows([("v", user), mark], PATIENT_US)
                    assert found == [b"1", b"9"]
                store._watermarks_until_s = 0.0
                found = store.get_rows([mark], PATIENT_US)
                assert found == [b"9"]
            finally:
                node.process.send_signal(signal.SIGCONT)
        assert store.get_rows([("v", users[0]), mark], PATIENT_US) == [b"1", b"9"]


def test_a_cluster_that_is_away_is_unavailable(tmp_path: Path) -> None:
    url = f"redis-cluster://127.0.0.1:{free_port()}"
    with closing(RedisClusterKeyValueStore(url, SHORT_MS)) as store:
        for timeout_us in (PATIENT_US, None):
            with pytest.raises(UnavailableError):
                store.get_many("v", ["a"], timeout_us)
        with pytest.raises(UnavailableError):
            store.put_many("v", {"a": b""})


def test_a_server_that_is_no_node_of_a_cluster_is_named(tmp_path: Path) -> None:
    with redis_server(tmp_path / "r") as server:
        url = server.url.replace("redis://", "redis-cluster://").removesuffix("/0")
        store = RedisClusterKeyValueStore(url, SHORT_MS)
        with pytest.raises(UnavailableError, match="Cluster mode is not enabled"):
            store.put_many("v", {"a": b""})
        store.close()


def test_a_url_gives_its_nodes_and_its_login_without_escapes() -> None:
    url = ClusterUrl.parsed("redis-cluster://me:p%40ss@a:1,b.c:2,[::1]:3")
    assert url.addresses == [("a", 1), ("b.c", 2), ("::1", 3)]
    assert (url.username, url.password) == ("me", "p@ss")
    url = ClusterUrl.parsed("redis-cluster://:secret@a:1")
    assert (url.username, url.password) == (None, "secret")


@pytest.mark.parametrize(
    "url", ["redis-cluster://", "redis-cluster://me:secret@a", "redis://me:secret@a:1"]
)
def test_a_url_of_another_form_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="must be redis-cluster") as caught:
        RedisClusterKeyValueStore(url)
    assert "secret" not in str(caught.value)
