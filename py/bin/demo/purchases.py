"""What the users of a data set did lately, in words."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl


@dataclass(frozen=True, slots=True)
class RecentPurchases:
    """The last items of one user, most recent first, as names."""

    user_id: str
    names: list[str]
    num_events: int


def busiest_to_quietest(
    dataset: Path, num_users: int, before_seconds: int
) -> list[RecentPurchases]:
    """Returns `num_users` users spread evenly from the busiest to the quietest tenth.

    Args:
        dataset: folder with events.parquet, and items.parquet where there are names.
        num_users: how many, >= 1.
        before_seconds: only events before this time count, unix seconds.
    """
    events = pl.scan_parquet(dataset / "events.parquet")
    events = events.filter(pl.col("event_time") < before_seconds)
    counts = (
        events.group_by("user_id")
        .agg(pl.len().alias("num_events"))
        .sort(["num_events", "user_id"], descending=[True, False])
        .collect()
    )
    step = max((counts.height * 9 // 10) // num_users, 1)
    chosen = counts[::step][:num_users]
    names = item_names(dataset)
    return [
        RecentPurchases(str(user_id), _latest(events, user_id, names), int(num_events))
        for user_id, num_events in chosen.rows()
    ]


def item_names(dataset: Path) -> dict[str, str]:
    """Returns the display name of every item that has one."""
    path = dataset / "items.parquet"
    if not path.exists():
        return {}
    items = pl.read_parquet(path)
    if "name" not in items.columns:
        return {}
    ids = items["item_id"].cast(pl.String)
    return dict(zip(ids, items["name"].fill_null(""), strict=True))


def _latest(
    events: pl.LazyFrame, user_id: object, names: dict[str, str], num_items: int = 5
) -> list[str]:
    rows = (
        events.filter(pl.col("user_id") == user_id)
        .group_by("item_id")
        .agg(pl.col("event_time").max())
        .sort(["event_time", "item_id"], descending=[True, False])
        .head(num_items)
        .collect()
    )
    ids = rows["item_id"].cast(pl.String)
    return [names.get(item_id) or item_id for item_id in ids]
