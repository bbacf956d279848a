"""A row sees what was known when it was asked for, whatever engine looks."""

import random
from pathlib import Path

import duckdb
import polars as pl
import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.training.point_in_time import PointInTimeJoin, ViewTable
from stepwell.training.point_in_time_oracle import Question, by_entity, visible
from stepwell.training.point_in_time_polars import joined_by_polars

Version = tuple[str, int, int]
Asked = tuple[str, int, int]


def view_of(folder: Path, versions: list[Version], ttl_seconds: int = 0) -> ViewTable:
    path = folder / "view.parquet"
    columns = {
        "user_id": pl.String,
        "event_timestamp": pl.Int64,
        "created_timestamp": pl.Int64,
    }
    frame = pl.DataFrame(versions, schema=columns, orient="row")
    frame.with_columns(pl.int_range(pl.len()).alias("place")).write_parquet(path)
    return ViewTable("view", "user_id", path, ("place",), ttl_seconds)


def rows_of(asked: list[Asked]) -> pl.DataFrame:
    columns = {
        "user_id": pl.String,
        "event_time": pl.Int64,
        "ingestion_time_us": pl.Int64,
    }
    frame = pl.DataFrame(asked, schema=columns, orient="row")
    return frame.with_columns(pl.int_range(pl.len()).alias("row_number"))


def places(
    view: ViewTable, asked: list[Asked], check_ingestion: bool = True
) -> tuple[list[int | None], dict[str, int]]:
    rows = rows_of(asked).to_arrow()
    with duckdb.connect() as connection:
        connection.register("given", rows)
        connection.execute("CREATE TABLE asked AS FROM given")
        join = PointInTimeJoin(connection, (view,), check_ingestion)
        looks = join.join("asked", "joined")["view"]
        found = connection.execute(
            'SELECT "view:place" FROM joined ORDER BY row_number'
        ).fetchall()
    return [place for (place,) in found], looks


def expected(
    view: ViewTable,
    versions: list[Version],
    asked: list[Asked],
    check_ingestion: bool = True,
) -> list[int | None]:
    table = by_entity(versions)
    seen = [
        visible(table, Question(*row), view.ttl_seconds, check_ingestion)
        for row in asked
    ]
    return [version.place if version else None for version in seen]


def test_a_backfill_is_not_seen_by_what_was_asked_before_it(tmp_path: Path) -> None:
    original, backfill = ("u", 100, 100), ("u", 150, 900)
    view = view_of(tmp_path, [original, backfill])
    asked = [("u", 200, 200), ("u", 200, 899), ("u", 200, 900), ("u", 120, 950)]
    found, looks = places(view, asked)
    assert found == [0, 0, 1, 0]
    assert looks == {"newest": 3, "by_event": 1}
    assert places(view, asked, check_ingestion=False)[0] == [1, 1, 1, 0]


def test_both_clocks_are_met_where_neither_latest_row_will_do(tmp_path: Path) -> None:
    # The newest known speaks of the future, the last by event time came too late.
    view = view_of(tmp_path, [("u", 10, 10), ("u", 30, 20), ("u", 15, 40)])
    assert places(view, [("u", 20, 25)]) == ([0], {"searched": 1})


def test_bounds_are_inclusive_and_of_one_event_time_the_last_created_counts(
    tmp_path: Path,
) -> None:
    view = view_of(tmp_path, [("u", 10, 10), ("u", 10, 20)], ttl_seconds=5)
    asked = [("u", 10, 10), ("u", 10, 19), ("u", 10, 20), ("u", 15, 20), ("u", 16, 20)]
    assert places(view, asked)[0] == [0, 0, 1, 1, None]


@pytest.mark.parametrize("ttl_seconds", [0, 3])
@pytest.mark.parametrize("check_ingestion", [True, False])
def test_is_what_the_rule_gives_when_rows_come_late_and_early(
    tmp_path: Path, ttl_seconds: int, check_ingestion: bool
) -> None:
    chance = random.Random(ttl_seconds)
    users = [f"u{number}" for number in range(200)]
    versions = list(
        {(u, chance.randrange(12), chance.randrange(12)) for u in users * 8}
    )
    asked = [(u, chance.randrange(-1, 13), chance.randrange(-1, 13)) for u in users * 8]
    asked += [("stranger", 5, 5)]
    view = view_of(tmp_path, versions, ttl_seconds)
    found, looks = places(view, asked, check_ingestion)
    assert found == expected(view, versions, asked, check_ingestion)
    assert sum(looks.values()) == sum(place is not None for place in found)
    if check_ingestion:
        assert min(looks.values()) > 50
        second = joined_by_polars(rows_of(asked), view)
        assert second["view:place"].to_list() == found


def test_two_rows_at_the_same_two_times_are_refused_by_name(tmp_path: Path) -> None:
    view = view_of(tmp_path, [("u", 10, 20), ("u", 10, 20)])
    with pytest.raises(InvalidArgumentError, match="2 rows of user_id 'u' at event"):
        places(view, [("u", 10, 20)])


def test_an_empty_view_gives_rows_without_features(tmp_path: Path) -> None:
    view = view_of(tmp_path, [])
    assert places(view, [("u", 10, 20)]) == ([None], {})
    assert joined_by_polars(rows_of([("u", 1, 2)]), view)["view:place"].to_list() == [
        None
    ]
