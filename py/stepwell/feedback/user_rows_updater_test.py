"""The updater says how far it has come, and rows of two views go with it."""

from dataclasses import replace
from pathlib import Path

import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import FailedPreconditionError, UnavailableError
from stepwell.base.metric_names import (
    EVENTS_LATE,
    ROWS_BEGUN_ANEW,
)
from stepwell.base.metrics import Metrics
from stepwell.feedback.updater_fixture import DAY, DyingStore, purchase, updater_of
from stepwell.feedback.user_history_updater import (
    STREAM_VIEWS,
    USER_HISTORY_VIEW,
    VOUCH_INTERVAL_US,
    UpdaterOptions,
    UserHistoryUpdater,
)
from stepwell.feedback.user_state_file import UserStateFile, write_user_state
from stepwell.feedback.user_state_import import import_user_state
from stepwell.schema.events import EventType
from stepwell.schema.feature_registry import USER_ACTIVITY
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.writer_watermark import WriterWatermark
from stepwell.stores.key_value_store import WATERMARK_VIEW, KeyValueStore
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import common_pb2


def watermark_of(store: KeyValueStore) -> WriterWatermark | None:
    blobs = store.get_many(WATERMARK_VIEW, [view.name for view in STREAM_VIEWS])
    assert len(set(blobs)) == 1, "one writer, one watermark"
    return None if blobs[0] is None else WriterWatermark.unpack(blobs[0])


def test_a_watermark_goes_with_each_step_and_every_second_without_one(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    clock = FakeClock()
    updater = UserHistoryUpdater(log, store, clock, Metrics())
    updater.catch_up()
    start = WriterWatermark(clock.wall_us(), 0)
    assert watermark_of(store) == start
    clock.advance_us(VOUCH_INTERVAL_US - 1)
    updater.catch_up()
    assert watermark_of(store) == start
    log.append([purchase(1, "u", "milk", DAY)])
    updater.catch_up()
    assert watermark_of(store) == WriterWatermark(clock.wall_us(), 1)
    clock.advance_us(VOUCH_INTERVAL_US)
    updater.catch_up()
    assert watermark_of(store) == WriterWatermark(clock.wall_us(), 1)


def test_a_step_on_the_way_vouches_for_no_more_than_it_has_seen(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    log.append([purchase(n, "u", "milk", n * DAY) for n in range(1, 6)])
    dying = DyingStore(store, 1, written=True)
    with pytest.raises(UnavailableError):
        updater_of(log, dying).catch_up()  # type: ignore[arg-type]
    # Lines 0 to 2 are in; the last of them came in on the third day.
    assert watermark_of(store) == WriterWatermark(3 * DAY * 1_000_000, 3)


def test_nobody_vouches_for_state_that_is_being_replaced(
    log: LmdbEventLog, store: KeyValueStore, tmp_path: Path
) -> None:
    clock = FakeClock()
    updater = UserHistoryUpdater(log, store, clock, Metrics())
    updater.catch_up()
    before = watermark_of(store)
    path = tmp_path / "user_state.safetensors"
    write_user_state(path, [("u", [])])

    def during(_: int) -> None:
        clock.advance_us(2 * VOUCH_INTERVAL_US)
        updater.catch_up()
        assert watermark_of(store) == before

    import_user_state(UserStateFile.load(path), store, during)
    updater.catch_up()
    assert watermark_of(store) == WriterWatermark(clock.wall_us(), 0)


def test_a_store_of_another_log_is_not_vouched_for_and_nothing_is_lost_in_silence(
    log: LmdbEventLog, store: KeyValueStore, tmp_path: Path
) -> None:
    log.append([purchase(n, "u", "milk", n * DAY) for n in range(1, 4)])
    clock = FakeClock()
    UserHistoryUpdater(log, store, clock, Metrics()).catch_up()
    before = watermark_of(store)
    copy = LmdbEventLog(tmp_path / "copy")
    copy.append([purchase(1, "u", "milk", DAY)])
    updater = UserHistoryUpdater(copy, store, clock, Metrics())
    for number in (4, 5):
        clock.advance_us(2 * VOUCH_INTERVAL_US)
        with pytest.raises(FailedPreconditionError, match="was another log"):
            updater.catch_up()
        assert watermark_of(store) == before
        copy.append([purchase(number, "u", "tea", number * DAY)])
    copy.close()


def test_a_row_of_another_schema_gives_way_to_a_new_one(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    other = replace(USER_ACTIVITY, name="an_earlier_one")
    row = FeatureRow.of(other, other.default_row(), 0, 0)
    store.put_many(USER_ACTIVITY.name, {"u": row.pack()})
    log.append([purchase(1, "u", "milk", DAY)])
    metrics = Metrics()
    UserHistoryUpdater(log, store, FakeClock(), metrics).catch_up()
    (blob,) = store.get_many(USER_ACTIVITY.name, ["u"])
    assert blob is not None
    values = FeatureRow.unpack(USER_ACTIVITY, blob).values
    assert values["purchase_decayed_1d"] == 1
    assert metrics.value(ROWS_BEGUN_ANEW, USER_ACTIVITY.name) == 1


def test_activity_folds_clicks_that_the_history_leaves_out_and_counts_late_ones(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    metrics = Metrics()
    options = UpdaterOptions(history_types={EventType.PURCHASE})
    updater = UserHistoryUpdater(log, store, FakeClock(), metrics, options)
    click = common_pb2.EVENT_TYPE_CLICK
    log.append(
        [
            purchase(1, "u", "milk", 30 * DAY, click),
            purchase(2, "u", "milk", 22 * DAY, click),
        ]
    )
    updater.catch_up()
    assert store.get_many(USER_HISTORY_VIEW, ["u"]) == [None]
    (blob,) = store.get_many(USER_ACTIVITY.name, ["u"])
    assert blob is not None
    row = FeatureRow.unpack(USER_ACTIVITY, blob)
    assert row.event_timestamp == 30 * DAY
    assert row.values["session_events"] == 1
    assert metrics.value(EVENTS_LATE, USER_ACTIVITY.name) == 1
