"""An empty log and an empty store for a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LmdbEventLog]:
    opened = LmdbEventLog(tmp_path / "events.lmdb")
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbKeyValueStore]:
    opened = LmdbKeyValueStore(tmp_path / "online.lmdb")
    yield opened
    opened.close()
