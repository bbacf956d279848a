"""The states of the log are those that the updater writes; served rows find theirs."""

from pathlib import Path

import numpy as np
import pytest

from stepwell.base.errors import FailedPreconditionError
from stepwell.feedback.items_as_of_log import ItemsAsOfLog
from stepwell.feedback.logged_events import check_whole, impression_record
from stepwell.feedback.rows_as_of_log import (
    AsOfLog,
    RowsAsOfLog,
    Sample,
    ShownLine,
    impressions,
)
from stepwell.feedback.updater_fixture import DAY, purchase, updater_of
from stepwell.feedback.user_history_updater import STREAM_VIEWS
from stepwell.feedback.user_state_file import UserStateFile, write_user_state
from stepwell.feedback.user_state_import import import_user_state
from stepwell.schema.events import HISTORY_EVENT_TYPES
from stepwell.schema.feature_registry import ITEM_ACTIVITY, USER_ACTIVITY
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.history_row import history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import Vocabulary, entity_keys
from stepwell.stores.key_value_store import KeyValueStore
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import feedback_pb2

VIEWS = [view.name for view in STREAM_VIEWS]


def show(log: LmdbEventLog, store: KeyValueStore, number: int, user: str) -> None:
    """Logs an answer that read the user's rows as they are in the store."""
    read = store.get_rows([(view, user) for view in VIEWS])
    rows = [
        feedback_pb2.StoredRow(view=view, key=user, row=blob)
        for view, blob in zip(VIEWS, read, strict=True)
    ]
    impression = feedback_pb2.Impression(
        request_id=f"r{number}",
        user_id=user,
        replay=feedback_pb2.ReplayInputs(rows=rows),
    )
    log.append([impression_record(impression, (10 + number) * DAY * 1_000_000)])


def as_of(
    log: LmdbEventLog, state: UserStateFile | None = None
) -> dict[str, dict[str, AsOfLog]]:
    rows = RowsAsOfLog(log, state, HISTORY_EVENT_TYPES)
    lines = list(impressions(log))
    found = rows.each(lines, lambda *_: None)
    return {line.impression.request_id: views for line, views in found}


def served(log: LmdbEventLog, number: int) -> dict[str, bytes]:
    line = list(impressions(log))[number]
    return {row.view: row.row for row in line.impression.replay.rows}


def packed(row: FeatureRow | None) -> bytes:
    assert row is not None
    return row.pack()


def test_a_row_is_the_state_of_its_own_last_event_though_the_log_is_ahead(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    log.append([purchase(1, "ann", "milk", 1 * DAY), purchase(2, "bob", "tea", DAY)])
    updater_of(log, store).catch_up()
    log.append([purchase(3, "ann", "tea", 8 * DAY)])
    show(log, store, 0, "ann")
    log.append([purchase(4, "ann", "rye", 9 * DAY)])
    found = as_of(log)["r0"]
    for view, blob in served(log, 0).items():
        assert packed(found[view].row) == blob
        assert packed(found[view].newest) != blob
        # Event 3 was there and not in it, for two days; event 4 came after.
        assert (found[view].num_unseen, found[view].lag_us) == (1, 2 * DAY * 1_000_000)


def test_states_begin_with_the_imported_ones(
    log: LmdbEventLog, store: KeyValueStore, tmp_path: Path
) -> None:
    path = tmp_path / "user_state.safetensors"
    history = UserHistory.from_events(entity_keys(["milk"]), np.array([9]))
    write_user_state(path, [("ann", [history_row(history)])])
    state = UserStateFile.load(path)
    import_user_state(state, store)
    show(log, store, 0, "ann")
    for number in range(1, 6):
        log.append([purchase(number, "ann", "tea", number * DAY)])
        updater_of(log, store).catch_up()
        show(log, store, number, "ann")
    found = as_of(log, state)
    for number in range(6):
        for view, blob in served(log, number).items():
            assert packed(found[f"r{number}"][view].row) == blob
            assert found[f"r{number}"][view].num_unseen == 0
    # Without it the log alone does not make them.
    assert as_of(log)["r0"]["user_history"].row is None


def test_events_that_came_in_together_may_be_split_by_a_step(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    log.append([purchase(n, "ann", f"i{n}", DAY) for n in range(5)])
    updater = updater_of(log, store)
    updater.catch_up(up_to=3)
    show(log, store, 0, "ann")
    found = as_of(log)["r0"]["user_activity"]
    assert packed(found.row) == served(log, 0)["user_activity"]
    assert found.num_unseen == 2


def test_a_row_of_a_time_at_which_the_log_has_no_state_is_found_out(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    log.append([purchase(1, "ann", "milk", DAY)])
    alien = FeatureRow.of(USER_ACTIVITY, USER_ACTIVITY.default_row(), 5, 5)
    store.put_many("user_activity", {"ann": alien.pack()})
    show(log, store, 0, "ann")
    found = as_of(log)["r0"]["user_activity"]
    assert found.row is None
    assert found.newest is not None


def test_a_row_that_knows_an_event_after_its_impression_is_found_out(
    log: LmdbEventLog, store: KeyValueStore
) -> None:
    log.append([purchase(1, "ann", "milk", DAY)])
    show(log, store, 0, "ann")
    log.append([purchase(2, "ann", "tea", 2 * DAY)])
    updater_of(log, store).catch_up()
    # The log is folded up to here for this one's sake.
    show(log, store, 1, "ann")
    first, second = impressions(log)
    first.impression.replay.rows[1].row = second.impression.replay.rows[1].row
    rows = RowsAsOfLog(log, None, HISTORY_EVENT_TYPES)
    (_, early), (_, late) = rows.each([first, second], lambda *_: None)
    assert early["user_activity"].row is None
    assert late["user_activity"].row is not None


def test_a_log_without_its_first_lines_is_refused(log: LmdbEventLog) -> None:
    log.append([purchase(n, "ann", "milk", DAY) for n in range(3)])
    check_whole(log)
    for begin in (2, 3):
        log.trim(begin)
        with pytest.raises(FailedPreconditionError, match=f"begins at offset {begin}"):
            check_whole(log)


def test_every_line_has_the_same_chance_to_be_sampled() -> None:
    counts = np.zeros(20)
    for seed in range(400):
        sample = Sample(5, seed)
        for offset in range(20):
            sample.offer(ShownLine(offset, 0, feedback_pb2.Impression()))
        assert sample.num_offered == 20
        for line in sample.lines:
            counts[line.offset] += 1
    assert counts.sum() == 5 * 400
    assert counts.min() > 60
    assert counts.max() < 140


def test_items_are_as_of_each_offset_that_is_asked_for(log: LmdbEventLog) -> None:
    vocabulary = Vocabulary.build(["milk", "tea"])
    base = np.zeros(2, ITEM_ACTIVITY.row_dtype)
    base["purchase_decayed_7d"][0], base["purchase_last_time"][0] = 4.0, DAY
    log.append([purchase(n, "ann", "tea", DAY) for n in range(3)])
    items = ItemsAsOfLog(log, vocabulary, base)
    milk, tea = vocabulary.rows_of_ids(["milk", "tea"]).tolist()
    seen = [
        items.rows_at(at)["purchase_decayed_7d"][[milk, tea]].tolist()
        for at in (0, 2, 3)
    ]
    assert [row[1] - seen[0][1] for row in seen] == [0.0, 2.0, 3.0]
    assert {row[0] for row in seen} == {seen[0][0]}
