"""Each event is folded in once, in the order of the log."""

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepwell.base.clock import FakeClock
from stepwell.base.errors import DataLossError, UnavailableError
from stepwell.base.metric_names import (
    EVENTS_APPLIED,
    EVENTS_SKIPPED,
)
from stepwell.base.metrics import Metrics
from stepwell.feedback.logged_events import impression_record
from stepwell.feedback.updater_fixture import (
    DAY,
    DyingStore,
    history_of,
    purchase,
    updater_of,
)
from stepwell.feedback.user_history_updater import (
    CONSUMER,
    OFFSETS_VIEW,
    STREAM_VIEWS,
    USER_HISTORY_VIEW,
    USER_OFFSETS_VIEW,
    UpdaterOptions,
    UserHistoryUpdater,
)
from stepwell.schema.events import EventType
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import entity_key, entity_keys
from stepwell.stores.event_log import EventRecord
from stepwell.stores.key_value_store import KeyValueStore
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore
from stepwell_pb.v1 import common_pb2, feedback_pb2


def test_a_purchase_is_in_the_history_after_catching_up(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    updater = updater_of(log, store)
    log.append([purchase(1, "u", "milk", DAY), purchase(2, "u", "milk", 3 * DAY)])
    assert updater.catch_up() == 2
    history = history_of(store, "u")
    assert history.keys.tolist() == [entity_key("milk")]
    assert history.num_purchases.tolist() == [2]
    assert history.last_event_time == 3 * DAY
    assert updater.next_offset() == 2
    assert updater.catch_up() == 0


def test_only_positive_feedback_enters_the_history(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    shown = feedback_pb2.Impression(request_id="r", user_id="u")
    log.append(
        [
            impression_record(shown, 0),
            purchase(1, "u", "milk", DAY, common_pb2.EVENT_TYPE_IMPRESSION),
            purchase(2, "u", "milk", DAY, common_pb2.EVENT_TYPE_DISMISS),
            purchase(3, "u", "bread", DAY, common_pb2.EVENT_TYPE_CLICK),
        ]
    )
    assert updater_of(log, store).catch_up() == 4
    assert history_of(store, "u").keys.tolist() == [entity_key("bread")]


def test_a_log_of_impressions_is_gone_past_and_what_stands_between_them_applied(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    def shown(number: int) -> EventRecord:
        impression = feedback_pb2.Impression(request_id=f"{number}", user_id="u")
        return impression_record(impression, 0)

    lines = [shown(number) for number in range(20)]
    log.append([*lines[:7], purchase(1, "u", "milk", DAY), *lines[7:]])
    updater = updater_of(log, store)
    assert updater.catch_up() == 21
    assert updater.next_offset() == 21
    assert history_of(store, "u").keys.tolist() == [entity_key("milk")]
    log.append([purchase(2, "u", "bread", DAY)])
    assert updater.catch_up() == 1
    assert history_of(store, "u").num_events == 2


def test_only_the_types_that_the_release_was_trained_on_are_folded(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    updater = updater_of(log, store)
    updater.fold_only({EventType.PURCHASE})
    log.append(
        [
            purchase(1, "u", "milk", DAY),
            purchase(2, "u", "milk", 2 * DAY, common_pb2.EVENT_TYPE_CLICK),
            purchase(3, "u", "tea", 3 * DAY, common_pb2.EVENT_TYPE_RATING),
        ]
    )
    assert updater.catch_up() == 3
    history = history_of(store, "u")
    assert history.keys.tolist() == [entity_key("milk")]
    assert history.num_purchases.tolist() == [1]
    assert history.last_event_time == DAY


def test_an_updater_without_a_release_leaves_the_log_for_later(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    log.append([purchase(1, "u", "milk", DAY)])
    options = UpdaterOptions(history_types=None)
    updater = UserHistoryUpdater(log, store, FakeClock(), Metrics(), options)
    assert updater.catch_up() == 0
    assert updater.next_offset() == 0
    updater.fold_only({EventType.PURCHASE})
    assert updater.catch_up() == 1
    assert history_of(store, "u").num_events == 1


def test_late_events_give_the_history_that_training_would_build(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    chance = np.random.default_rng(3)
    times = chance.permutation(60) * DAY
    items = [f"item{n}" for n in chance.integers(0, 9, 60)]
    lines = [
        purchase(n, "u", item, int(time))
        for n, (item, time) in enumerate(zip(items, times, strict=True))
    ]
    log.append(lines)
    updater_of(log, store).catch_up()
    values = np.full(60, 2.5, np.float32)
    expected = UserHistory.from_events(entity_keys(items), times, values)
    actual = history_of(store, "u")
    assert actual.keys.tolist() == expected.keys.tolist()
    assert actual.num_purchases.tolist() == expected.num_purchases.tolist()
    np.testing.assert_allclose(actual.decayed_count, expected.decayed_count, rtol=1e-5)
    np.testing.assert_allclose(actual.total_value, expected.total_value, rtol=1e-5)


@pytest.mark.parametrize("dies_at", [1, 2, 4])
@pytest.mark.parametrize("written", [True, False])
def test_a_death_at_any_write_repeats_nothing_and_loses_nothing(
    log: LmdbEventLog, store: KeyValueStore, dies_at: int, written: bool
) -> None:
    log.append([purchase(n, f"u{n % 2}", "milk", n * DAY) for n in range(11)])
    dying = DyingStore(store, dies_at, written)
    with pytest.raises(UnavailableError):
        updater_of(log, dying).catch_up()  # type: ignore[arg-type]
    updater_of(log, store).catch_up()
    counts = [int(history_of(store, user).num_events) for user in ("u0", "u1")]
    assert counts == [6, 5]


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    events=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.integers(0, 90)),
        min_size=1,
        max_size=40,
    ),
    batch_lines=st.integers(1, 50),
)
def test_replay_from_the_start_gives_byte_identical_state(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[tuple[str, int, int]],
    batch_lines: int,
) -> None:
    folder = tmp_path_factory.mktemp("replay")
    log = LmdbEventLog(folder / "events")
    live = LmdbKeyValueStore(folder / "live")
    replayed = LmdbKeyValueStore(folder / "replayed")
    updater = UserHistoryUpdater(log, live, FakeClock(), Metrics())
    for number, (user, item, day) in enumerate(events):
        log.append([purchase(number, user, f"i{item}", day * DAY)])
        updater.catch_up()
    options = UpdaterOptions(batch_lines=batch_lines)
    UserHistoryUpdater(log, replayed, FakeClock(), Metrics(), options).catch_up()
    users = ["a", "b", "c"]
    for view in STREAM_VIEWS:
        assert live.get_many(view.name, users) == replayed.get_many(view.name, users)
    for opened in (log, live, replayed):
        opened.close()


def test_two_updaters_at_once_apply_each_event_once(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    log.append([purchase(n, "u", f"i{n % 7}", n * DAY) for n in range(200)])
    updaters = [updater_of(log, store) for _ in range(3)]
    threads = [threading.Thread(target=updater.catch_up) for updater in updaters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    updaters[0].catch_up()
    assert history_of(store, "u").num_events == 200


def test_what_cannot_be_read_is_counted_and_skipped(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    store.put_many(USER_HISTORY_VIEW, {"broken": b"SWUH?"})
    store.put_many(USER_OFFSETS_VIEW, {"of no offset": b"?"})
    log.append(
        [
            EventRecord("garbage", b"\xff\xff\xff"),
            EventRecord("later version", b""),
            purchase(1, "broken", "milk", DAY),
            purchase(2, "u", "milk", DAY),
            purchase(3, "of no offset", "milk", DAY),
        ]
    )
    metrics = Metrics()
    assert UserHistoryUpdater(log, store, FakeClock(), metrics).catch_up() == 5
    assert metrics.value(EVENTS_SKIPPED) == 4
    # Also the user with the broken history has an activity.
    assert metrics.value(EVENTS_APPLIED) == 2
    assert store.get_many(USER_HISTORY_VIEW, ["broken"]) == [b"SWUH?"]
    assert store.get_many(USER_HISTORY_VIEW, ["of no offset"]) == [None]
    assert history_of(store, "u").num_events == 1


def test_a_damaged_offset_of_the_updater_is_an_error_that_its_thread_outlives(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    store.put_many(OFFSETS_VIEW, {CONSUMER: b"?"})
    with pytest.raises(DataLossError, match="an offset has 1 bytes, must be 8"):
        updater_of(log, store).catch_up()
