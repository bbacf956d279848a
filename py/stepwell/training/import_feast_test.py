"""Rows of a Feast repository: each is taken over, or counted with its reason."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.vocabulary import entity_key
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore
from stepwell.training.feast_registry_fixture import write_repository
from stepwell.training.import_events import ImportOptions, TooManyRefusedError
from stepwell.training.import_feast import (
    FeastImport,
    ImportedView,
    import_feast,
    put_newest,
    write_views,
)

START = datetime(2024, 1, 1, tzinfo=UTC)
NOW = int(START.timestamp()) + 10 * 86_400
LENIENT = ImportOptions(max_refused_share=1.0)


def row(driver: Any = 1, hours: int = 0, **values: Any) -> dict[str, Any]:
    at = START + timedelta(hours=hours)
    return {
        "driver_id": driver,
        "event_timestamp": at,
        "created": at + timedelta(minutes=5),
        "rate": 0.5,
        "trips": 7,
        "city": "oslo",
        "vip": True,
        "hired": START,
        **values,
    }


def imported(
    folder: Path, *rows: dict[str, Any], options: ImportOptions | None = LENIENT
) -> FeastImport:
    write_repository(folder)
    pl.DataFrame(list(rows), strict=False).write_parquet(
        folder / "data" / "stats.parquet"
    )
    return import_feast(folder, options, NOW)


def stats(found: FeastImport) -> ImportedView:
    return next(one for one in found.views if one.view.name == "driver_stats")


def test_a_row_keeps_its_values_in_the_types_of_the_view(tmp_path: Path) -> None:
    (held,) = stats(imported(tmp_path, row(driver=1001))).rows.to_dicts()
    seconds = int(START.timestamp())
    assert held == {
        "entity_id": "1001",
        "event_timestamp": seconds,
        "created_timestamp": seconds + 300,
        "conv_rate": 0.5,
        "trips": 7,
        "city": entity_key("city=oslo"),
        "vip": 1,
        "hired": seconds,
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"driver_id": None}, "missing driver_id"),
        ({"event_timestamp": None}, "event_timestamp missing or unreadable"),
        ({"created": None}, "created_timestamp missing or unreadable"),
        (
            {"event_timestamp": START + timedelta(days=12)},
            "event_timestamp before 1970 or more than a day ahead",
        ),
        ({"rate": float("nan")}, "conv_rate not finite or out of range"),
        ({"rate": float("inf")}, "conv_rate not finite or out of range"),
        ({"rate": 1e39}, "conv_rate not finite or out of range"),
        ({"trips": 1.5}, "trips is no int64"),
    ],
)
def test_a_bad_row_is_refused_by_its_reason(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    good = row(trips=7.0)
    found = imported(tmp_path, good, {**good, **change}, good)
    assert dict(found.report.refused) == {("driver_stats", reason): 1}
    assert found.report.examples[0].row == 2
    assert stats(found).rows.height == 2


def test_a_null_takes_the_default_and_is_counted(tmp_path: Path) -> None:
    found = imported(tmp_path, row(), row(driver=2, rate=None, city=None))
    assert found.num_defaulted == {"driver_stats:conv_rate": 1, "driver_stats:city": 1}
    held = stats(found).rows.row(1, named=True)
    assert (held["conv_rate"], held["city"]) == (0.0, 0)


def test_too_many_refused_rows_stop_the_import(tmp_path: Path) -> None:
    with pytest.raises(TooManyRefusedError, match=r"50\.00% of the rows of driver_"):
        imported(tmp_path, row(), row(driver=None), options=None)


def test_a_view_without_its_file_is_refused_and_the_others_come(tmp_path: Path) -> None:
    found = imported(tmp_path, row())
    assert [one.view.name for one in found.views] == ["driver_stats"]
    assert any("profile" in str(refusal) for refusal in found.refusals)
    assert any(line.startswith("refused view away") for line in found.lines())


def test_a_view_whose_file_lacks_a_column_is_refused(tmp_path: Path) -> None:
    short = {name: value for name, value in row().items() if name != "trips"}
    with pytest.raises(InvalidArgumentError, match=r"no view .*lacks .* trips"):
        imported(tmp_path, short)


def test_written_rows_are_in_the_order_of_joins_and_replace_no_file(
    tmp_path: Path,
) -> None:
    twins = row(1, 3, trips=1), row(1, 3, trips=8)
    found = imported(tmp_path, row(2, 1), row(1, 5), row(2, 0), *twins)
    (path,) = write_views(found, tmp_path / "out")
    held = pl.read_parquet(path)
    assert held["driver_id"].to_list() == ["1", "1", "2", "2"]
    assert held["trips"][0] == 8
    assert held["created_timestamp"][0] % 1_000_000 == 999_999
    assert int(pl.read_parquet_metadata(path)["ttl_seconds"]) > 0
    assert held["event_timestamp"].diff().drop_nulls().to_list()[::2] == [7_200, 3_600]
    with pytest.raises(InvalidArgumentError, match="already there"):
        write_views(found, tmp_path / "out")


def test_the_store_gets_the_newest_row_of_each_entity(tmp_path: Path) -> None:
    late = row(1, 0, trips=9, created=START + timedelta(days=1))
    found = imported(tmp_path, row(1, 3, trips=3), late, row(2, 0, trips=2))
    store = LmdbKeyValueStore(tmp_path / "store")
    view = stats(found).view
    assert put_newest(found, store) == 2
    blobs = store.get_many("driver_stats", ["1", "2"])
    trips = [FeatureRow.unpack(view, blob or b"").values["trips"] for blob in blobs]
    assert trips == [3, 2], "a backfill of an old hour is not the newest"
    held = FeatureRow.unpack(view, blobs[0] or b"")
    assert held.event_timestamp == int(START.timestamp()) + 3 * 3_600
    assert held.written_at_us == (held.event_timestamp + 300) * 1_000_000
    store.close()
