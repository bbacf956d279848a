"""Gauges of the writers of features: told without any request."""

import math
from contextlib import closing
from pathlib import Path

import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import REFUSED_RELEASES, WRITER_AGE
from stepwell.base.metrics import Metrics
from stepwell.feedback.item_activity import ItemActivity
from stepwell.releases.loader import Loader
from stepwell.releases.manager import Manager
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import DirectorySource
from stepwell.schema.feature_registry import (
    ITEM_ACTIVITY,
    USER_ACTIVITY,
    USER_HISTORY,
    USER_VIEWS,
)
from stepwell.schema.writer_watermark import WriterWatermark
from stepwell.serving.engine import Engine
from stepwell.serving.gauges import ItemActivityGauge, ReleaseGauges, WriterGauges
from stepwell.stores.key_value_store import WATERMARK_VIEW
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore


def test_a_writers_age_is_told_and_grows_while_the_store_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock, metrics = LmdbKeyValueStore(tmp_path), FakeClock(), Metrics()
    gauges = WriterGauges(metrics, clock, store, USER_VIEWS)
    said = WriterWatermark(clock.wall_us(), 5).pack()
    blobs = {USER_HISTORY.name: said, USER_ACTIVITY.name: b"damaged"}
    store.put_many(WATERMARK_VIEW, blobs)
    clock.advance_us(1_500_000)
    gauges.refresh()
    assert metrics.value(WRITER_AGE, USER_HISTORY.name) == 1.5
    assert metrics.value(WRITER_AGE, USER_ACTIVITY.name) == math.inf
    # Nobody writes the users' table all the time: it has no such age.
    assert 'view="user_profile"' not in metrics.exposition().decode()

    def gone(*_: object) -> list[bytes | None]:
        raise UnavailableError("the store is gone")

    monkeypatch.setattr(store, "get_many", gone)
    clock.advance_us(600_000_000)
    gauges.refresh()
    assert metrics.value(WRITER_AGE, USER_HISTORY.name) == 601.5


def test_how_old_item_features_are_is_told_too(tmp_path: Path) -> None:
    clock, metrics = FakeClock(), Metrics()
    with (
        closing(LmdbEventLog(tmp_path / "events")) as log,
        closing(LmdbKeyValueStore(tmp_path / "online")) as store,
    ):
        items = ItemActivity(log, store, clock, metrics)
        gauge = ItemActivityGauge(metrics, items)
        gauge.refresh()
        assert metrics.value(WRITER_AGE, ITEM_ACTIVITY.name) == math.inf
        items.catch_up()
        clock.advance_us(3_000_000)
        gauge.refresh()
        assert metrics.value(WRITER_AGE, ITEM_ACTIVITY.name) == 3.0


def test_a_release_that_was_refused_is_counted(tmp_path: Path) -> None:
    key = SigningKey.generate().verifying_key()

    def never_built(*_: object) -> Engine:
        pytest.fail("a folder without a manifest is no release")

    manager = Manager(DirectorySource(tmp_path), Loader(key, never_built))
    metrics = Metrics()
    gauges = ReleaseGauges(metrics, manager)
    gauges.refresh()
    assert metrics.value(REFUSED_RELEASES) == 0
    (tmp_path / "v000007").mkdir()
    manager.poll()
    gauges.refresh()
    assert metrics.value(REFUSED_RELEASES) == 1
