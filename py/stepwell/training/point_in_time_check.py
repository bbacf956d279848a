"""Training rows held against the rule itself, and against a second engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from stepwell.training.point_in_time import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    ViewTable,
)
from stepwell.training.point_in_time_oracle import Question, by_entity, visible
from stepwell.training.point_in_time_polars import joined_by_polars


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check of one view found.

    Attributes:
        num_entities: looked at, each with all of its rows.
        num_rows: of these.
        num_leaked: rows with a feature of a later time, or created later.
        num_different: rows with another feature row than the rule gives.
    """

    num_entities: int
    num_rows: int
    num_leaked: int
    num_different: int


def check_rows(
    parts: Sequence[Path],
    view: ViewTable,
    num_entities: int,
    check_ingestion: bool = True,
) -> Checked:
    """Compares all rows of some entities with the brute-force rule.

    Args:
        parts: files of training rows, one or more.
        view: feature rows they were joined with; those of today's log know less than
            a part of long ago.
        num_entities: to draw, always the same ones.
        check_ingestion: as the rows were joined.
    Cost: O(rows x feature rows) of each entity, in Python.
    """
    times = [f"{view.name}:{name}" for name in (EVENT_TIMESTAMP, CREATED_TIMESTAMP)]
    rows = pl.scan_parquet(list(parts)).select(
        view.key, "event_time", "ingestion_time_us", *times
    )
    drawn = _drawn(rows, view.key, num_entities)
    asked = rows.join(drawn.lazy(), on=view.key).collect()
    stored = (
        pl.scan_parquet(view.files)
        .select(view.key, EVENT_TIMESTAMP, CREATED_TIMESTAMP)
        .join(drawn.lazy(), on=view.key)
        .collect()
    )
    versions = by_entity(stored.iter_rows())
    num_leaked = num_different = 0
    for entity, time, taken_in_us, event, created in asked.iter_rows():
        question = Question(entity, time, taken_in_us)
        right = visible(versions, question, view.ttl_seconds, check_ingestion)
        wanted = (right.event_timestamp, right.created_timestamp) if right else None
        given = None if event is None else (event, created)
        num_different += wanted != given
        if given is not None:
            is_late = check_ingestion and created > taken_in_us
            num_leaked += event > time or is_late
    return Checked(drawn.height, asked.height, num_leaked, num_different)


def num_different_by_polars(parts: Sequence[Path], view: ViewTable) -> int:
    """Returns how many of all rows have other features than Polars finds for them.

    Args:
        parts: as for check_rows, joined with ingestion checked.
        view: feature rows they were joined with.
    Cost: all rows with the view's columns in memory, twice.
    """
    asked = [view.key, "event_time", "ingestion_time_us"]
    rows = pl.read_parquet(list(parts), columns=[*asked, *view.columns])
    again = joined_by_polars(rows.select(asked).with_row_index("row_number"), view)
    # NaN equals itself here, and so does null.
    is_other = [
        again[column].ne_missing(rows[column]).alias(column) for column in view.columns
    ]
    return int(pl.DataFrame(is_other).select(pl.any_horizontal(pl.all()).sum()).item())


def _drawn(rows: pl.LazyFrame, key: str, num_entities: int) -> pl.DataFrame:
    entities = rows.select(key).unique().collect()
    order = pl.col(key).hash(seed=1)
    return entities.sort(order, key).head(num_entities)
