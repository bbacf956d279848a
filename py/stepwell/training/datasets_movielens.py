"""MovieLens 100k, out of the wheel of RecBole."""

import os
import zipfile
from pathlib import Path

import polars as pl

from stepwell.base.errors import DataLossError, NotFoundError

WHEEL_VARIABLE = "STEPWELL_RECBOLE_WHEEL"
_WHEEL_NAME = "recbole-1.2.1-py3-none-any.whl"
_FOLDER = "recbole/dataset_example/ml-100k"
_MAX_MEMBER_BYTES = 16 * 1024 * 1024


def write_movielens(out_dir: Path) -> None:
    """Writes events (type rating, value 1..5), items and users in the importer's form.

    The wheel is the file named by STEPWELL_RECBOLE_WHEEL, or lies in `out_dir` or one
    of the two folders above it. A user's segment is gender and occupation.

    Raises:
        NotFoundError: no wheel; names the command that downloads it.
        DataLossError: the wheel lacks a file or one is larger than it can be.
    """
    with zipfile.ZipFile(_wheel(out_dir)) as wheel:
        inter = _table(wheel, "ml-100k.inter")
        item = _table(wheel, "ml-100k.item")
        user = _table(wheel, "ml-100k.user")
    inter.select(
        "user_id",
        "item_id",
        pl.col("timestamp").cast(pl.Float64).cast(pl.Int64).alias("event_time"),
        pl.lit("rating").alias("event_type"),
        pl.col("rating").cast(pl.Float64).alias("value"),
    ).write_parquet(out_dir / "events.parquet")
    genres = pl.col("class").str.split(" ")
    item.select(
        "item_id",
        pl.col("movie_title").alias("name"),
        genres.list.get(0, null_on_oob=True).alias("department"),
        pl.col("class").alias("category"),
        pl.concat_str(pl.col("release_year").str.slice(0, 3), pl.lit("0s")).alias(
            "decade"
        ),
    ).write_parquet(out_dir / "items.parquet")
    user.select(
        "user_id", pl.concat_str("gender", pl.lit(" / "), "occupation").alias("segment")
    ).write_parquet(out_dir / "users.parquet")


def _wheel(out_dir: Path) -> Path:
    named = os.environ.get(WHEEL_VARIABLE)
    places = [Path(named)] if named else []
    places += [folder / _WHEEL_NAME for folder in (out_dir, *out_dir.parents[:2])]
    for place in places:
        if place.is_file():
            return place
    raise NotFoundError(
        f"no {_WHEEL_NAME} in {out_dir} or above: "
        f"pip download --no-deps -d {out_dir} recbole==1.2.1"
    )


def _table(wheel: zipfile.ZipFile, name: str) -> pl.DataFrame:
    """Reads one of RecBole's tab-separated files; `name:type` headers lose the type."""
    member = f"{_FOLDER}/{name}"
    try:
        num_bytes = wheel.getinfo(member).file_size
    except KeyError:
        raise DataLossError(f"{wheel.filename} lacks {member}") from None
    if num_bytes > _MAX_MEMBER_BYTES:
        raise DataLossError(
            f"{member} has {num_bytes} bytes, must be at most {_MAX_MEMBER_BYTES}"
        )
    frame = pl.read_csv(
        wheel.read(member), separator="\t", infer_schema=False, quote_char=None
    )
    return frame.rename({column: column.split(":")[0] for column in frame.columns})
