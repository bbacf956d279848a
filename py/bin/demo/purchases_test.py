"""Recent purchases in words."""

from pathlib import Path

import polars as pl

from demo.purchases import busiest_to_quietest, item_names


def test_names_the_latest_distinct_items_of_spread_users(tmp_path: Path) -> None:
    rows = [(f"u{user}", "a", day) for user in range(10) for day in range(user + 1)]
    rows += [("u9", "b", 99), ("u9", "a", 100), ("u9", "c", 100)]
    frame = pl.DataFrame(rows, ["user_id", "item_id", "event_time"], orient="row")
    frame.write_parquet(tmp_path / "events.parquet")
    items = pl.DataFrame({"item_id": ["a", "b"], "name": ["Apple", None]})
    items.write_parquet(tmp_path / "items.parquet")
    busiest, quieter = busiest_to_quietest(tmp_path, 2, before_seconds=100)
    assert (busiest.user_id, busiest.names) == ("u9", ["b", "Apple"])
    assert quieter.num_events < busiest.num_events


def test_a_data_set_without_items_has_no_names(tmp_path: Path) -> None:
    assert item_names(tmp_path) == {}
