"""The online read: one round trip, ages told, and what is not used is counted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.base.errors import UnavailableError
from stepwell.base.metric_names import REFUSED_ROWS, STALE_VIEWS
from stepwell.base.metrics import Metrics
from stepwell.features.online_reader import OnlineReader
from stepwell.features.row_verdict import RowState
from stepwell.schema.feature_registry import USER_ACTIVITY, USER_HISTORY, USER_PROFILE
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.feature_view import FeatureView, WhenStale
from stepwell.schema.history_row import history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.writer_watermark import WriterWatermark
from stepwell.stores.key_value_store import WATERMARK_VIEW, KeyValueStore
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore

VIEWS = (USER_HISTORY, USER_ACTIVITY, USER_PROFILE)


class _Counted:
    """A store that counts its round trips and notes the time they were given."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store
        self.timeouts_us: list[int | None] = []
        self.get_many = store.get_many
        self.put_many = store.put_many
        self.write_if = store.write_if
        self.close = store.close

    def get_rows(
        self, rows: Sequence[tuple[str, str]], timeout_us: int | None = None
    ) -> list[bytes | None]:
        self.timeouts_us.append(timeout_us)
        return self._store.get_rows(rows, timeout_us)


class _Setting:
    """A store with a user, a clock, and a reader of some views."""

    def __init__(self, folder: Path, views: Sequence[FeatureView] = VIEWS) -> None:
        self.clock = FakeClock()
        self.store = _Counted(LmdbKeyValueStore(folder))
        self.metrics = Metrics()
        self.views = views
        self.reader = OnlineReader(self.store, views, self.metrics)

    def write(self, user: str, rows: Mapping[FeatureView, bytes]) -> None:
        for view, blob in rows.items():
            self.store.put_many(view.name, {user: blob})

    def writer_says(self, *views: FeatureView) -> None:
        said = WriterWatermark(self.clock.wall_us(), next_offset=0).pack()
        self.store.put_many(WATERMARK_VIEW, {view.name: said for view in views})

    def states(self, user: str = "ann") -> list[RowState]:
        deadline = Deadline.after_us(self.clock, 5_000)
        now = self.clock.event_seconds()
        read = self.reader.read(user, now, deadline)
        return list(read.states)


def _row(view: FeatureView, event_time: int) -> bytes:
    row = FeatureRow.of(view, view.default_row(), event_time, event_time * 1_000_000)
    return row.pack()


def _rows(now: int) -> dict[FeatureView, bytes]:
    history = UserHistory.from_events(np.array([5], np.uint64), np.array([now]))
    plain = {view: _row(view, now) for view in (USER_ACTIVITY, USER_PROFILE)}
    return {USER_HISTORY: history_row(history).pack(), **plain}


@pytest.fixture
def setting(tmp_path: Path) -> _Setting:
    setting = _Setting(tmp_path)
    setting.write("ann", _rows(setting.clock.event_seconds()))
    setting.writer_says(USER_HISTORY, USER_ACTIVITY)
    return setting


def test_reads_every_view_and_watermark_in_one_round_trip(setting: _Setting) -> None:
    setting.store.timeouts_us.clear()
    assert setting.states() == [RowState.FRESH] * 3
    assert setting.store.timeouts_us == [5_000]


def test_d6_past_the_freshness_window_nothing_of_a_dead_writers_rows_is_used(
    setting: _Setting,
) -> None:
    setting.clock.advance_us(600_000_000)
    assert setting.states() == [RowState.FRESH] * 3
    setting.clock.advance_us(1_000)
    dead, fresh = RowState.UNATTENDED, RowState.FRESH
    assert setting.states() == [dead, dead, fresh]
    for view in (USER_HISTORY, USER_ACTIVITY):
        assert setting.metrics.value(STALE_VIEWS, view.name, "default") == 1
    setting.writer_says(USER_HISTORY)
    assert setting.states() == [fresh, dead, fresh]


def test_tells_the_ages_of_rows_and_of_their_writers(setting: _Setting) -> None:
    setting.clock.advance_us(700_000_000)
    setting.writer_says(USER_HISTORY)
    setting.clock.advance_us(2_000_000)
    now = setting.clock.event_seconds()
    read = setting.reader.read("ann", now, Deadline.after_us(setting.clock, 5_000))
    assert read.row_age_ms == {view.name: 702_000 for view in VIEWS}
    history, activity, _ = (view.name for view in VIEWS)
    assert read.writer_age_ms == {history: 2_000, activity: 702_000}


@pytest.mark.parametrize("when_stale", WhenStale)
def test_a_stale_view_is_counted_by_what_is_done(
    tmp_path: Path, when_stale: WhenStale
) -> None:
    view = replace(USER_ACTIVITY, when_stale=when_stale)
    setting = _Setting(tmp_path, [view])
    now = setting.clock.event_seconds()
    late = now + view.ttl_seconds + 1
    setting.write("ann", {view: _row(view, now)})
    setting.writer_says(view)
    for user, at in (("ann", late), ("ann", now), ("new", late)):
        setting.reader.read(user, at, Deadline.after_us(setting.clock, 5_000))
    assert setting.metrics.value(STALE_VIEWS, view.name, when_stale.value) == 1


def test_in_a_store_full_of_another_releases_rows_all_are_refused_and_counted(
    tmp_path: Path,
) -> None:
    setting = _Setting(tmp_path, [USER_ACTIVITY])
    other = replace(USER_ACTIVITY, features=USER_ACTIVITY.features[:-1])
    users = [f"user-{number}" for number in range(20)]
    for user in users:
        setting.write(user, {other: _row(other, setting.clock.event_seconds())})
    setting.writer_says(USER_ACTIVITY)
    with capture_logs() as lines:
        states = [setting.states(user) for user in users]
    assert states == [[RowState.OTHER_SCHEMA]] * 20
    name = USER_ACTIVITY.name
    assert setting.metrics.value(REFUSED_ROWS, name, "schema") == 20
    # Said once, without whose they are.
    assert [line["reason"] for line in lines] == ["schema"]
    assert "user-" not in str(lines)


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"SWFR and nothing else", "damaged"),
        (_row(USER_ACTIVITY, 1_600_000_000), "future"),
    ],
)
def test_a_row_that_is_not_what_its_view_says_is_refused_and_counted(
    setting: _Setting, blob: bytes, reason: str
) -> None:
    setting.write("ann", {USER_ACTIVITY: blob})
    assert setting.states()[1].value == reason
    assert setting.metrics.value(REFUSED_ROWS, USER_ACTIVITY.name, reason) == 1


def test_a_damaged_watermark_is_none_and_is_counted(setting: _Setting) -> None:
    setting.store.put_many(WATERMARK_VIEW, {USER_HISTORY.name: b"soon"})
    assert setting.states()[0] is RowState.UNATTENDED
    assert setting.metrics.value(REFUSED_ROWS, USER_HISTORY.name, "watermark") == 1


def test_an_unknown_user_has_nothing_of_any_view(setting: _Setting) -> None:
    assert setting.states("bob") == [RowState.MISSING] * 3


def test_a_store_that_is_down_is_the_callers_to_answer(setting: _Setting) -> None:
    def down(*_: object) -> list[bytes | None]:
        raise UnavailableError("the store is down")

    setting.store.get_rows = down  # type: ignore[method-assign,assignment]
    with pytest.raises(UnavailableError):
        setting.states()
