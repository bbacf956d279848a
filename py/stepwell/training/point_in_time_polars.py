"""The point-in-time join by Polars: a second opinion on the one by DuckDB."""

import polars as pl

from stepwell.training.point_in_time import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    ViewTable,
)

_ROW = "row_number"
_PLACE = "__place__"


def joined_by_polars(rows: pl.DataFrame, view: ViewTable) -> pl.DataFrame:
    """Returns `rows` in order with a view's columns as PointInTimeJoin gives them.

    Ingestion is checked always.

    Args:
        rows: with ROW_COLUMNS and the view's key.
    Cost: two sorts; rows that a late feature row is in the way of are joined with all
        feature rows of their entity, in memory.
    """
    stored = pl.read_parquet(view.files).with_row_index(_PLACE)
    found = _found(rows, stored, view.key)
    if view.ttl_seconds:
        age = pl.col("event_time") - pl.col(EVENT_TIMESTAMP)
        found = found.filter(age <= view.ttl_seconds)
    joined = dict(zip(view.stored, view.columns, strict=True))
    features = stored.select(_PLACE, *(pl.col(k).alias(v) for k, v in joined.items()))
    places = found.select(_ROW, _PLACE).join(features, on=_PLACE).drop(_PLACE)
    return rows.join(places, on=_ROW, how="left", maintain_order="left")


def _found(rows: pl.DataFrame, stored: pl.DataFrame, key: str) -> pl.DataFrame:
    """Returns row_number, event_time, place and event_timestamp of what is seen."""
    asked = rows.select(_ROW, key, "event_time", "ingestion_time_us")
    versions = stored.select(key, EVENT_TIMESTAMP, CREATED_TIMESTAMP, _PLACE)
    is_newest = pl.col(EVENT_TIMESTAMP) == pl.col(EVENT_TIMESTAMP).cum_max().over(key)
    newest = (
        versions.sort(CREATED_TIMESTAMP, EVENT_TIMESTAMP)
        .filter(is_newest)
        .unique([key, CREATED_TIMESTAMP], keep="last", maintain_order=True)
    )
    first = asked.sort("ingestion_time_us").join_asof(
        newest,
        left_on="ingestion_time_us",
        right_on=CREATED_TIMESTAMP,
        by=key,
        strategy="backward",
        check_sortedness=False,
    )
    is_ahead = pl.col(EVENT_TIMESTAMP) > pl.col("event_time")
    searched = (
        first.filter(is_ahead)
        .select(asked.columns)
        .join(versions, on=key)
        .filter(
            pl.col(EVENT_TIMESTAMP) <= pl.col("event_time"),
            pl.col(CREATED_TIMESTAMP) <= pl.col("ingestion_time_us"),
        )
        .sort(EVENT_TIMESTAMP, CREATED_TIMESTAMP)
        .unique(_ROW, keep="last", maintain_order=True)
    )
    wanted = [_ROW, "event_time", _PLACE, EVENT_TIMESTAMP]
    settled = first.filter(~is_ahead)
    return pl.concat([settled.select(wanted), searched.select(wanted)])
