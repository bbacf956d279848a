"""Cutting time: nothing after the cut is seen before it."""

from pathlib import Path

import numpy as np
import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.models.history_weights import affinity_weights
from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.training.event_table import EventTable
from stepwell.training.import_events import import_events
from stepwell.training.split import Snapshot, snapshot

HEADER = "user_id,item_id,event_time,event_type,value\n"


def _table(folder: Path, rows: list[tuple[str, str, int, str]]) -> EventTable:
    lines = [f"{user},{item},{time},{kind},1\n" for user, item, time, kind in rows]
    (folder / "events.csv").write_text(HEADER + "".join(lines))
    return import_events(folder).table


def test_an_event_at_the_cut_is_after_it(tmp_path: Path) -> None:
    table = _table(tmp_path, [("u", "a", 99, "purchase"), ("u", "a", 100, "purchase")])
    known = snapshot(table, 100, min_count=1)
    assert known.times.tolist() == [99]
    assert known.targets(101).items_of(0).tolist() == [0]


def test_the_catalogue_counts_only_events_before_the_cut(tmp_path: Path) -> None:
    before = [("u", "a", time, "purchase") for time in range(5)]
    after = [("u", "b", 100 + time, "purchase") for time in range(9)]
    few = [("u", "c", time, "purchase") for time in range(4)]
    known = snapshot(_table(tmp_path, before + after + few), 100)
    assert known.items.ids_of_rows(range(len(known.items))) == ["a"]
    assert known.num_user_events.tolist() == [9]


def test_impressions_and_dismissals_are_no_history(tmp_path: Path) -> None:
    rows = [
        ("u", "a", 1, "impression"),
        ("u", "a", 2, "dismiss"),
        ("u", "b", 3, "click"),
    ]
    known = snapshot(_table(tmp_path, rows), 100, min_count=1)
    assert known.items.ids_of_rows(range(len(known.items))) == ["b"]
    assert len(known.user_histories()[0]) == 1


def test_targets_are_distinct_and_say_what_is_new(tmp_path: Path) -> None:
    rows = [("u", "a", 1, "purchase"), ("v", "b", 2, "purchase")]
    rows += [("u", "b", 11, "purchase"), ("u", "a", 12, "purchase")] * 2
    known = snapshot(_table(tmp_path, rows), 10, min_count=1)
    targets = known.targets(50)
    assert targets.items_of(0).tolist() == [0, 1]
    assert targets.items_of(0, only_new=True).tolist() == [1]
    assert targets.items_of(1).tolist() == []


def test_pairs_agree_with_a_plain_count(known: Snapshot) -> None:
    plain: dict[tuple[int, int], list[int]] = {}
    columns = (known.user_rows, known.item_rows, known.times)
    for user, item, time in zip(*columns, strict=True):
        plain.setdefault((int(user), int(item)), []).append(int(time))
    pairs = known.pairs
    assert len(pairs.counts) == len(plain)
    for row in range(0, len(pairs.counts), 97):
        times = plain[int(pairs.user_rows[row]), int(pairs.item_rows[row])]
        assert pairs.counts[row] == len(times)
        assert pairs.first_times[row] == min(times)
        assert pairs.last_times[row] == max(times)
    assert pairs.offsets[-1] == len(pairs.counts)


def test_an_earlier_view_is_the_snapshot_of_that_time(known: Snapshot) -> None:
    earlier = known.cut_time - 60 * DAY_SECONDS
    view = known.as_of(earlier)
    assert view.times.max() < earlier
    assert view.num_items == known.num_items
    fresh = snapshot(known.table, earlier)
    rows = view.items.rows_of_keys(fresh.items.keys)
    inside = rows[fresh.item_rows] >= 0
    mine = np.isin(view.item_rows, rows)
    assert inside.sum() == mine.sum()


def test_training_and_request_weigh_a_history_alike(known: Snapshot) -> None:
    matrix = known.affinity_matrix()
    histories = known.user_histories()
    for user in (0, 5, 77):
        history = histories[user]
        rows = known.items.rows_of_keys(history.keys)
        weights = affinity_weights(
            history.num_purchases,
            history.first_time,
            history.last_time,
            known.cut_time,
        )
        dense = np.zeros(known.num_items)
        dense[rows[rows >= 0]] = weights[rows >= 0]
        np.testing.assert_allclose(matrix[user].toarray().ravel(), dense, rtol=1e-5)


def test_distinct_buyers_counts_a_user_once(tmp_path: Path) -> None:
    rows = [("u", "a", time, "purchase") for time in range(9)]
    rows += [("v", "a", 5, "purchase"), ("v", "a", 50, "purchase")]
    known = snapshot(_table(tmp_path, rows), 40, min_count=1)
    assert known.distinct_buyers(0, 40).tolist() == [2]
    assert known.distinct_buyers(6, 100).tolist() == [1]


def test_a_cut_before_everything_is_refused(events: EventTable) -> None:
    with pytest.raises(InvalidArgumentError, match="cut_time is 5"):
        snapshot(events, 5)
