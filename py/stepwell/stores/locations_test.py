from pathlib import Path

import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.stores.event_log import EventRecord
from stepwell.stores.locations import open_event_log, open_key_value_store
from stepwell.stores.redis_cluster_key_value_store import RedisClusterKeyValueStore
from stepwell.stores.redis_server_fixture import free_port, redis_server


def test_a_folder_is_lmdb(tmp_path: Path) -> None:
    store = open_key_value_store(str(tmp_path / "online.lmdb"))
    store.put_many("v", {"a": b"1"})
    assert store.get_many("v", ["a"]) == [b"1"]
    store.close()
    log = open_event_log(str(tmp_path / "events.lmdb"))
    assert log.append([EventRecord("a", b"")]).offsets == (0,)
    log.close()
    assert (tmp_path / "events.lmdb" / "data.mdb").exists()


def test_a_url_is_redis(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        store = open_key_value_store(server.url, timeout_ms=2_000)
        store.put_many("v", {"a": b"1"})
        assert store.get_many("v", ["a"]) == [b"1"]
        store.close()
        log = open_event_log(server.url)
        assert log.append([EventRecord("a", b"")]).offsets == (0,)
        log.close()


def test_a_cluster_is_a_store_and_no_event_log() -> None:
    location = f"redis-cluster://me:secret@127.0.0.1:{free_port()}"
    store = open_key_value_store(location, timeout_ms=100)
    assert isinstance(store, RedisClusterKeyValueStore)
    store.close()
    with pytest.raises(InvalidArgumentError, match="location is") as caught:
        open_event_log(location)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("location", ["", "http://127.0.0.1", "s3://bucket"])
def test_anything_else_is_refused_by_name(location: str) -> None:
    for open_store in (open_key_value_store, open_event_log):
        with pytest.raises(InvalidArgumentError, match="location is"):
            open_store(location)
