"""DuckDB, Polars and Spark make the same training rows, of a log with late events."""

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from stepwell.feedback.logged_events import event_record, impression_record
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.training.impression_rows_run import prepare
from stepwell.training.impression_rows_writer import (
    Resources,
    RowsOptions,
    RowsWriter,
)
from stepwell.training.point_in_time import ViewTable
from stepwell.training.point_in_time_polars import joined_by_polars
from stepwell_pb.v1 import common_pb2, feedback_pb2

DAY = 86_400
US = 1_000_000
WINDOW = 3_600
END = 5 * DAY
USERS = [f"u{number}" for number in range(12)]
ITEMS = [f"i{number}" for number in range(20)]
Made = tuple[Path, pl.DataFrame, tuple[ViewTable, ...]]
KINDS = [
    common_pb2.EVENT_TYPE_CLICK,
    common_pb2.EVENT_TYPE_PURCHASE,
    common_pb2.EVENT_TYPE_DISMISS,
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The tables, DuckDB's rows, and the views, one of them with backfills."""
    folder = tmp_path_factory.mktemp("rows")
    write_log(folder / "log")
    more = (backfilled(folder / "loyalty.parquet"),)
    tables, rows, views = written(folder / "log", folder, more)
    assert rows.height > 500
    assert rows["is_click"].sum() > 20
    return tables, rows, views


def written(source: Path, folder: Path, more: tuple[ViewTable, ...]) -> Made:
    options = RowsOptions(str(source), window_seconds=WINDOW)
    prepared = prepare(options, folder / "tables", lambda *_: None)
    prepared = replace(prepared, views=(*prepared.views, *more))
    out = folder / "rows.parquet"
    writer = RowsWriter(prepared, out, options, Resources(num_threads=1))
    report = writer.write(END, lambda *_: None)
    for view in more:
        assert set(report.joined_by[view.name]) == {"newest", "by_event", "searched"}
    rows = pl.concat([pl.read_parquet(part) for part in sorted(out.glob("*.parquet"))])
    return prepared.folder, rows, prepared.views


def write_log(folder: Path) -> None:
    chance = random.Random(7)
    records = []
    for number in range(300):
        now = (number + 1) * (END - DAY) // 300
        user = chance.choice(USERS)
        slate = feedback_pb2.Impression(
            request_id=f"r{number}",
            user_id=user,
            event_time_seconds=now,
            tier=common_pb2.TIER_FULL,
            release_id="v000001",
            items=[
                feedback_pb2.ShownItem(item_id=item, score=chance.random())
                for item in chance.sample(ITEMS, 4)
            ],
        )
        records.append(impression_record(slate, now * US))
        for place in range(chance.randrange(4)):
            delay = chance.choice([chance.randrange(WINDOW), 0, 2 * WINDOW, -DAY])
            event = feedback_pb2.Event(
                event_id=f"e{number}-{place}",
                user_id=user if chance.random() < 0.9 else chance.choice(USERS),
                item_id=chance.choice(slate.items).item_id,
                event_type=chance.choice(KINDS),
                event_time_seconds=max(now + delay, 1),
                value=chance.choice([0.0, 1.25, 3.5]),
                request_id=slate.request_id if chance.random() < 0.8 else "",
            )
            records.append(event_record(event, now * US + place + 1))
    log = LmdbEventLog(folder)
    for begin in range(0, len(records), 500):
        log.append(records[begin : begin + 500])
    log.close()


def backfilled(path: Path) -> ViewTable:
    """A view whose rows come at once, or a day late, or speak of the next hours."""
    chance = random.Random(8)
    rows = set()
    for user in USERS * 40:
        time = chance.randrange(DAY, END)
        late = chance.choice([60, 60, 60, chance.randrange(DAY), -3_600])
        rows.add((user, time, (time + late) * US))
    pl.DataFrame(
        [(*row, chance.random(), chance.randrange(9)) for row in sorted(rows)],
        schema={
            "user_id": pl.String,
            "event_timestamp": pl.Int64,
            "created_timestamp": pl.Int64,
            "points": pl.Float32,
            "level": pl.Int32,
        },
        orient="row",
    ).write_parquet(path)
    return ViewTable("loyalty", "user_id", path, ("points", "level"), 2 * DAY)


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    sql = pytest.importorskip(
        "pyspark.sql", reason="the extra `spark` is not installed"
    )
    if shutil.which("java") is None:
        pytest.skip("there is no Java run-time")
    folder = tmp_path_factory.mktemp("spark")
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    session = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "1g")
        .config("spark.sql.shuffle.partitions", "2")
        # So little data is done before any of it would be compiled.
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1")
        .config("spark.sql.warehouse.dir", str(folder))
        .config("spark.local.dir", str(folder))
        .getOrCreate()
    )
    yield session
    session.stop()


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("line", "position", "item_id")


def test_polars_finds_the_same_features(made: Made) -> None:
    _, rows, views = made
    bare = rows.drop(column for view in views for column in view.columns)
    again = bare.with_row_index("row_number")
    for view in views:
        again = joined_by_polars(again, view)
    assert again.drop("row_number").equals(rows)


def test_spark_makes_the_same_rows(made: Made, spark: Any, tmp_path: Path) -> None:
    assert_same_on_spark(made, spark, tmp_path / "spark.parquet")


def test_spark_makes_the_same_rows_where_positions_are_unknown(
    spark: Any, tmp_path: Path
) -> None:
    lines = ["user_id,item_id,event_time,event_type,request_id"]
    for number in range(40):
        user, time, request = USERS[number % 4], DAY + number * 60, f"r{number}"
        shown = [f"{user},{item},{time},impression,{request}" for item in ITEMS]
        lines += [*shown, f"{user},{ITEMS[number % 7]},{time + 30},click,{request}"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "events.csv").write_text("\n".join(lines))
    made = written(tmp_path / "data", tmp_path, ())
    assert set(made[1]["position"]) == {-1}
    assert_same_on_spark(made, spark, tmp_path / "spark.parquet")


def assert_same_on_spark(made: Made, spark: Any, out: Path) -> None:
    from stepwell.training.impression_rows_spark import rows_on_spark

    tables, rows, views = made
    rows_on_spark(spark, tables, views, WINDOW, END).write.parquet(str(out))
    again = pl.read_parquet(out / "*.parquet")
    assert sorted(again.columns) == sorted(rows.columns)
    again = in_order(again.select(rows.columns).cast(rows.schema))
    assert again.equals(in_order(rows))
