"""Whom a load run asks for, and what it may leave out."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from project_state import ProjectState

_NUM_USERS, _NUM_ITEMS = 2_000, 1_000


@dataclass(frozen=True, slots=True)
class LoadUsers:
    """Ids of a data set, or made-up ones where there is none.

    Attributes:
        user_ids: up to 2,000.
        item_ids: up to 1,000.
    """

    user_ids: list[str]
    item_ids: list[str]

    @classmethod
    def of(cls, state: ProjectState | None) -> "LoadUsers":
        """Returns the first users and items of the data set's events."""
        if state is None or not (state.dataset / "events.parquet").exists():
            return cls([f"load-{number}" for number in range(_NUM_USERS)], [])
        path = state.dataset / "events.parquet"
        return cls(_ids(path, "user_id", _NUM_USERS), _ids(path, "item_id", _NUM_ITEMS))


def _ids(path: Path, column: str, count: int) -> list[str]:
    events = pl.scan_parquet(path)
    if column not in events.collect_schema():
        return []
    ids = events.select(pl.col(column).cast(pl.String).unique().sort()).collect()
    return list(ids[column].head(count).to_list())
