"""The command writes rows, says what it did, and fails where a row sees the future."""

import json
from pathlib import Path

import polars as pl
import pytest

import stepwell_main


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
    assert (found["num_rows"], found["num_leaked"]) == (202, 0)
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
