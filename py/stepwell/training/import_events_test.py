"""The importer: every row is accepted or reported, with file, row and reason."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepwell.base.errors import InvalidArgumentError, NotFoundError
from stepwell.schema.events import EventType
from stepwell.training.import_events import (
    ImportOptions,
    TooManyRefusedError,
    import_events,
)

HEADER = "user_id,item_id,event_time,event_type,value,request_id,position\n"
GOOD = "u1,milk,1500000000,purchase,2.5,r1,3\n"
LENIENT = ImportOptions(max_refused_share=1.0)


def _write(folder: Path, *lines: str, name: str = "events.csv") -> Path:
    (folder / name).write_text("".join(lines))
    return folder


def test_reads_every_column_of_a_good_row(tmp_path: Path) -> None:
    table = import_events(_write(tmp_path, HEADER, GOOD)).table
    assert table.users.ids_of_rows(table.user_rows) == ["u1"]
    assert table.items.ids_of_rows(table.item_rows) == ["milk"]
    assert table.times.tolist() == [1_500_000_000]
    assert table.types.tolist() == [EventType.PURCHASE]
    assert table.values.tolist() == [2.5]
    assert table.request_ids[int(table.request_rows[0])] == "r1"
    assert table.positions.tolist() == [3]


def test_optional_columns_may_be_absent(tmp_path: Path) -> None:
    header = "user_id,item_id,event_time,event_type\n"
    table = import_events(_write(tmp_path, header, "7,9,1500000000,CLICK\n")).table
    assert table.values.tolist() == [0.0]
    assert table.request_rows.tolist() == [-1]
    assert table.positions.tolist() == [-1]
    assert table.types.tolist() == [EventType.CLICK]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",milk,1500000000,purchase,1,,\n", "missing user_id"),
        ("u1,,1500000000,purchase,1,,\n", "missing item_id"),
        ("u1,milk,,purchase,1,,\n", "event_time missing or unreadable"),
        ("u1,milk,yesterday,purchase,1,,\n", "event_time missing or unreadable"),
        ("u1,milk,-5,purchase,1,,\n", "event_time out of range"),
        ("u1,milk,1500000000000,purchase,1,,\n", "event_time out of range"),
        ("u1,milk,1500000000,bought,1,,\n", "unknown event_type"),
        ("u1,milk,1500000000,,1,,\n", "unknown event_type"),
        (
            f"{'u' * 257},milk,1500000000,purchase,1,,\n",
            "user_id longer than 256 bytes",
        ),
        (f"u1,{'é' * 129},1500000000,purchase,1,,\n", "item_id longer than 256 bytes"),
        ("u1,milk,1500000000,purchase,cheap,,\n", "value unreadable"),
        ("u1,milk,1500000000,purchase,-1,,\n", "value negative or not finite"),
        ("u1,milk,1500000000,purchase,inf,,\n", "value negative or not finite"),
        ("u1,milk,1500000000,purchase,nan,,\n", "value negative or not finite"),
        ("u1,milk,1500000000,purchase,1e39,,\n", "value negative or not finite"),
        ("u1,milk,nan,purchase,1,,\n", "event_time missing or unreadable"),
        ("u1,milk,1500000000,purchase,1,,,4,5\n", "more fields than columns"),
        ("u1\n", "missing item_id"),
        ("u1,milk,1500000000,purchase,1,,first\n", "position unreadable"),
        ("u1,milk,1500000000,purchase,1,,-2\n", "position out of range"),
    ],
)
def test_a_bad_row_is_refused_by_its_reason_and_row(
    tmp_path: Path, row: str, reason: str
) -> None:
    imported = import_events(_write(tmp_path, HEADER, GOOD, row, GOOD), LENIENT)
    assert len(imported.table) == 2
    assert dict(imported.report.refused) == {("events.csv", reason): 1}
    example = imported.report.examples[0]
    assert (example.file, example.row, example.reason) == ("events.csv", 2, reason)
    assert any("events.csv row 2: " in line for line in imported.report.lines())


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_whatever_the_bytes_every_row_is_accounted_for(
    tmp_path: Path, lines: list[bytes]
) -> None:
    content = b"\n".join([HEADER.strip().encode(), GOOD.strip().encode(), *lines])
    (tmp_path / "events.csv").write_bytes(content)
    try:
        imported = import_events(tmp_path, LENIENT)
    except InvalidArgumentError:
        return
    report = imported.report
    assert len(imported.table) == report.num_accepted["events.csv"]
    counted = report.num_accepted["events.csv"] + report.num_refused
    assert report.num_rows["events.csv"] == counted


def test_invalid_utf8_in_csv_is_refused(tmp_path: Path) -> None:
    bad = b"u\xff1,milk,1500000000,purchase,1,,\n"
    (tmp_path / "events.csv").write_bytes(HEADER.encode() + GOOD.encode() + bad)
    report = import_events(tmp_path, LENIENT).report
    assert dict(report.refused) == {("events.csv", "user_id is not valid UTF-8"): 1}


def test_invalid_utf8_in_parquet_is_refused(tmp_path: Path) -> None:
    ids = pa.array([b"good", b"b\xffd"], pa.binary()).view(pa.string())
    table = pa.table(
        {
            "user_id": ids,
            "item_id": ["a", "b"],
            "event_time": [1_500_000_000, 1_500_000_001],
            "event_type": ["purchase", "purchase"],
        }
    )
    pq.write_table(table, tmp_path / "events.parquet")
    imported = import_events(tmp_path, LENIENT)
    assert len(imported.table) == 1
    assert dict(imported.report.refused) == {
        ("events.parquet", "user_id is not valid UTF-8"): 1
    }


def test_nothing_is_dropped_in_silence(tmp_path: Path) -> None:
    rows = [GOOD, "u1,,1500000000,purchase,1,,\n", "u1,a,x,purchase,1,,\n"] * 30
    report = import_events(_write(tmp_path, HEADER, *rows), LENIENT).report
    assert report.num_rows == {"events.csv": 90}
    assert report.num_accepted["events.csv"] + report.num_refused == 90
    by_reason = [e for e in report.examples if e.reason == "missing item_id"]
    assert len(by_reason) == 20, "examples are bounded, counts are not"
    assert report.refused["events.csv", "missing item_id"] == 30


def test_too_many_refused_rows_stop_the_import_with_the_report(tmp_path: Path) -> None:
    folder = _write(tmp_path, HEADER, GOOD, "u1,,1500000000,purchase,1,,\n")
    with pytest.raises(TooManyRefusedError, match=r"50\.00%") as caught:
        import_events(folder)
    assert caught.value.report.num_refused == 1
    assert "missing item_id: 1" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "2017-07-14T02:40:00Z",
        "2017-07-14T02:40:00.250Z",
        "2017-07-14 02:40:00",
        "2017-07-14 02:40:00+00:00",
        "2017-07-14T04:40:00+02:00",
        "2017-07-14T04:40:00.999999+02:00",
    ],
)
def test_iso_times_are_seconds_in_utc(tmp_path: Path, text: str) -> None:
    row = GOOD.replace("1500000000", text)
    assert import_events(_write(tmp_path, HEADER, row)).table.times[0] == 1_500_000_000


def test_parquet_timestamps_and_integer_ids_are_read(tmp_path: Path) -> None:
    moment = datetime(2017, 7, 14, 2, 40, tzinfo=UTC)
    frame = {"user_id": [7], "item_id": [9], "event_time": [moment]}
    pl.DataFrame({**frame, "event_type": ["rating"]}).write_parquet(
        tmp_path / "events.parquet"
    )
    table = import_events(tmp_path).table
    assert table.times.tolist() == [1_500_000_000]
    assert table.users.ids_of_rows([0]) == ["7"]


def test_events_are_sorted_by_time(tmp_path: Path) -> None:
    rows = [GOOD.replace("1500000000", str(1_500_000_000 - day)) for day in (0, 9, 4)]
    times = import_events(_write(tmp_path, HEADER, *rows)).table.times
    assert (np.diff(times) > 0).all()


def test_item_and_user_tables_become_columns(tmp_path: Path) -> None:
    _write(tmp_path, HEADER, GOOD, GOOD.replace("milk", "tea"))
    _write(
        tmp_path,
        "item_id,name,department,price\nmilk,Milk 1 l,DAIRY,0.99\ntea,,,\nx,X,Y,1\n",
        name="items.csv",
    )
    _write(tmp_path, "user_id,segment\nu1,north\nu9,south\n", name="users.csv")
    table = import_events(tmp_path).table
    assert table.item_table.display_names == ["Milk 1 l", "tea"]
    department = table.item_table.categories["department"]
    assert [department.names[code] for code in department.codes] == ["DAIRY", ""]
    price = table.item_table.numbers["price"]
    assert price[0] == pytest.approx(0.99)
    assert np.isnan(price[1])
    assert table.segment_names[table.user_segments[0]] == "north"


def test_an_item_that_stands_twice_is_reported(tmp_path: Path) -> None:
    _write(tmp_path, HEADER, GOOD)
    _write(tmp_path, "item_id,name\nmilk,A\nmilk,B\n", name="items.csv")
    imported = import_events(tmp_path, LENIENT)
    assert imported.table.item_table.display_names == ["A"]
    assert imported.report.refused["items.csv", "item_id stands twice"] == 1


def test_promotions_are_joined_to_items(tmp_path: Path) -> None:
    _write(tmp_path, HEADER, GOOD)
    header = "item_id,start_time,end_time,display_share,mailer_share\n"
    rows = ["milk,100,200,0.5,0\n", "other,100,200,0.5,0\n", "milk,300,200,0.5,0\n"]
    _write(tmp_path, header, *rows, "milk,5,9,1.5,0\n", name="promotions.csv")
    imported = import_events(tmp_path, LENIENT)
    promotions = imported.table.promotions
    assert promotions.item_rows.tolist() == [0]
    assert promotions.display_share.tolist() == [0.5]
    assert imported.report.num_refused == 2


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    folder = _write(tmp_path, "user,item_id,event_time,event_type\n", "a,b,1,click\n")
    with pytest.raises(InvalidArgumentError, match=r"user_id.*it has user, item_id"):
        import_events(folder)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "events.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InvalidArgumentError, match=r"events\.parquet"):
        import_events(tmp_path)


def test_no_events_file_says_what_to_bring(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"events\.parquet nor events\.csv"):
        import_events(tmp_path)


def test_two_events_files_are_ambiguous(tmp_path: Path) -> None:
    _write(tmp_path, HEADER, GOOD)
    (tmp_path / "events.parquet").write_bytes(b"")
    with pytest.raises(InvalidArgumentError, match="keep one"):
        import_events(tmp_path)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(InvalidArgumentError, match="max_refused_share"):
        ImportOptions(max_refused_share=share)
