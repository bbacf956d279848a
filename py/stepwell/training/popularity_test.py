"""Popular lists: recent, distinct, by segment, and what is growing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.training.event_table import EventTable
from stepwell.training.import_events import import_events
from stepwell.training.popularity import PopularityOptions, new_items, popular_lists
from stepwell.training.split import snapshot

CUT = 1_500_000_000


def _table(folder: Path, rows: Sequence[tuple[str, str, float]]) -> EventTable:
    lines = [
        f"{user},{item},{CUT - int(days * DAY_SECONDS)},purchase\n"
        for user, item, days in rows
    ]
    header = "user_id,item_id,event_time,event_type\n"
    (folder / "events.csv").write_text(header + "".join(lines))
    users = sorted({user for user, _, _ in rows})
    segments = [f"{user},{user[0]}\n" for user in users]
    (folder / "users.csv").write_text("user_id,segment\n" + "".join(segments))
    return import_events(folder).table


def _ids(table: EventTable, rows: np.ndarray) -> list[str]:
    known = snapshot(table, CUT, min_count=1)
    return known.items.ids_of_rows(rows[rows >= 0])


def test_one_heavy_buyer_is_one_voice(tmp_path: Path) -> None:
    rows = [("a1", "milk", day) for day in range(1, 15)]
    rows += [("a1", "tea", 1), ("b1", "tea", 1)]
    table = _table(tmp_path, rows)
    lists = popular_lists(snapshot(table, CUT, min_count=1))
    assert _ids(table, lists.global_rows) == ["tea", "milk"]
    assert lists.global_scores.tolist() == [2.0, 1.0]


def test_what_was_popular_before_the_window_is_not_popular(tmp_path: Path) -> None:
    rows = [(f"a{user}", "ice", 60) for user in range(9)] + [("a1", "soup", 2)]
    table = _table(tmp_path, rows)
    lists = popular_lists(snapshot(table, CUT, min_count=1))
    assert _ids(table, lists.global_rows) == ["soup"]


def test_a_segment_has_its_own_list_and_a_small_one_leans_on_all(
    tmp_path: Path,
) -> None:
    rows = [(f"a{user}", "beer", 1) for user in range(10)]
    rows += [(f"b{user}", "wine", 1) for user in range(4)]
    table = _table(tmp_path, rows)
    known = snapshot(table, CUT, min_count=1)
    own = popular_lists(known, PopularityOptions(segment_weight=1.0))
    assert _ids(table, own.popular(own.segment_row("b"), 1).rows) == ["wine"]
    shrunk = popular_lists(known, PopularityOptions(segment_weight=1_000.0))
    assert _ids(table, shrunk.popular(shrunk.segment_row("b"), 1).rows) == ["beer"]


def test_trending_prefers_growth_to_size_and_evidence_to_luck(tmp_path: Path) -> None:
    steady = [(f"a{user}", "bread", day) for user in range(30) for day in (3, 20, 40)]
    grown = [(f"a{user}", "melon", 3) for user in range(20)]
    lucky = [("a1", "figs", 3)]
    table = _table(tmp_path, steady + grown + lucky)
    lists = popular_lists(snapshot(table, CUT, min_count=1))
    assert _ids(table, lists.trending_rows)[0] == "melon"
    assert _ids(table, lists.global_rows)[0] == "bread"


def test_ties_go_to_the_lower_row(tmp_path: Path) -> None:
    table = _table(tmp_path, [("a1", item, 1) for item in ("c", "a", "b")])
    lists = popular_lists(snapshot(table, CUT, min_count=1))
    assert lists.global_rows.tolist() == [0, 1, 2]


def test_new_is_what_was_first_seen_lately_the_most_bought_first(
    tmp_path: Path,
) -> None:
    rows = [("a1", "milk", day) for day in range(1, 300, 7)]
    rows += [("a1", "kefir", 20), ("a1", "oats", 9), ("b1", "oats", 3)]
    table = _table(tmp_path, rows)
    known = snapshot(table, CUT, min_count=1)
    assert _ids(table, new_items(known)) == ["oats", "kefir"]
    assert _ids(table, popular_lists(known).new_rows) == ["oats", "kefir"]
    few = popular_lists(known, PopularityOptions(max_new=1))
    assert _ids(table, few.new_rows) == ["oats"]


def test_nothing_is_new_because_the_data_begin_there(tmp_path: Path) -> None:
    rows = [("a1", "milk", 20), ("a1", "tea", 19), ("b1", "tea", 1), ("a1", "rye", 2)]
    table = _table(tmp_path, rows)
    assert _ids(table, new_items(snapshot(table, CUT, min_count=1))) == ["rye"]
