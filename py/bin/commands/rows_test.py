"""The command writes rows, says what it did, and fails where a row sees the future."""

import json
from pathlib import Path

import polars as pl
import pytest

import stepwell_main
from stepwell.feedback.logged_events import event_record, impression_record
from stepwell.stores.event_log import EventRecord
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import feedback_pb2

DAY = 86_400


def rows(*arguments: str) -> int:
    args = stepwell_main.parse(["stepwell", "rows", *arguments])
    return stepwell_main.main(args)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "events.csv").write_text(
        "user_id,item_id,event_time,event_type\n"
        "u,a,100,purchase\nu,a,200,purchase\n,a,200,purchase\n" + "v,b,9,click\n" * 200
    )
    return folder


def test_prints_one_json_line_with_what_was_refused_and_checked(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.parquet"
    arguments = ("--from", str(data), "--out", str(out), "--json")
    assert rows(*arguments, "--check", "5", "--check-polars") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["num_rows"], found["days_cut"]) == (202, [])
    refused = {"missing user_id": 1}
    assert found["import"]["files"]["events.csv"]["refused"] == refused
    assert found["checked"]["user_activity"] == {
        "num_entities": 2,
        "num_rows": 202,
        "num_leaked": 0,
        "num_different": 0,
    }
    assert found["different_by_polars"] == {"user_activity": 0, "item_activity": 0}
    assert 0 < found["peak_bytes"] < 4 << 30
    assert pl.read_parquet(out / "*.parquet").height == 202
    assert sorted(path.name for path in out.iterdir()) == [
        "1970-01-01.parquet",
        "rows.json",
    ]


def test_a_second_run_says_that_there_was_nothing_to_do(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--from", str(data), "--out", str(tmp_path / "r"))
    assert rows(*arguments, "--as-of", "now") == 0
    capsys.readouterr()
    assert rows(*arguments, "--as-of", "now") == 0
    assert "202 rows in" in (text := capsys.readouterr().out)
    assert "0 days written now, 1 kept" in text


def test_checks_what_it_wrote_now_and_says_what_the_log_forgot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = feedback_pb2.Event(
        event_id="e", user_id="u", item_id="a", event_type="EVENT_TYPE_CLICK"
    )
    seen.event_time_seconds = 50
    extend(tmp_path / "log", event_record(seen, 50_000_000), slate("r", 100))
    arguments = ("--from", str(tmp_path / "log"), "--out", str(tmp_path / "rows"))
    assert rows(*arguments, "--as-of", str(9 * DAY)) == 0
    extend(tmp_path / "log", slate("s", 2 * DAY), keep_from=1)
    capsys.readouterr()
    checks = ("--check", "5", "--check-polars")
    assert rows(*arguments, *checks, "--as-of", str(10 * DAY)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 days written now, 1 kept the log has forgotten its first 1 lines" in said
    assert "user_activity: 1 rows of 1 entities checked, 0 leaked, 0 differ" in said
    slates = slate("t", 3 * DAY), slate("v", 3 * DAY + 1)
    extend(tmp_path / "log", *slates, keep_from=4)
    assert rows(*arguments, "--as-of", str(12 * DAY)) == 0
    assert "1970-01-04 is not written" in capsys.readouterr().out


def extend(folder: Path, *records: EventRecord, keep_from: int = 0) -> None:
    log = LmdbEventLog(folder)
    log.append(records)
    log.trim(keep_from)
    log.close()


def slate(request: str, time: int) -> EventRecord:
    shown = feedback_pb2.Impression(
        request_id=request,
        user_id="u",
        event_time_seconds=time,
        items=[feedback_pb2.ShownItem(item_id="a")],
    )
    return impression_record(shown, time * 1_000_000)


def test_refuses_in_one_line_that_names_what_is_wrong(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(tmp_path / "r"))
    assert rows("--from", str(tmp_path), *out) == 1
    assert "holds neither an event log nor events.parquet" in capsys.readouterr().err
    for flag, value in (("--memory-limit", "lots"), ("--threads", "0")):
        assert rows("--from", str(data), *out, flag, value) == 1
        assert f"{value}" in (said := capsys.readouterr().err)
        assert said.startswith(("rows: memory_limit is", "rows: num_threads is"))
    with pytest.raises(SystemExit):
        rows("--from", str(data), *out, "--as-of", "noon")
    assert "invalid _unix_seconds value: 'noon'" in capsys.readouterr().err
