"""`./stepwell import`: a dry run of events, and a Feast repository taken over."""

import argparse
import json
from pathlib import Path

import polars as pl
import pytest

from commands import import_
from stepwell.training.feast_registry_fixture import write_repository

HEADER = "user_id,item_id,event_time,event_type\n"
GOOD = "ann,milk,1500000000,purchase\n"


def run(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    import_.add_arguments(parser)
    return import_.run(parser.parse_args(argv))


def repository(folder: Path) -> str:
    pair = {"customer_id": ["a", "b"], "spend": [1.5, 2.5]}
    write_repository(folder)
    pl.DataFrame({**pair, "at": [1_700_000_000, 1_700_000_001]}).write_parquet(
        folder / "data" / "profile.parquet"
    )
    return str(folder)


def test_says_what_of_the_events_it_refuses_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "events.csv").write_text(HEADER + GOOD * 3 + ",tea,1,click\n")
    before = list(tmp_path.iterdir())
    assert run("--data", str(tmp_path)) == 1
    assert "25.00% of the rows" in capsys.readouterr().err
    assert run("--data", str(tmp_path), "--max-refused-share", "0.3", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["files"]["events.csv"]["refused"] == {"missing user_id": 1}
    assert list(tmp_path.iterdir()) == before


def test_takes_a_feast_repository_over_and_names_what_it_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, store = tmp_path / "out", str(tmp_path / "store")
    feast = repository(tmp_path / "repo")
    assert run("--feast", feast, "--out", str(out), "--store", store, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["views"]["profile"]["rows"] == document["num_online"] == 2
    assert {"view away", "view pair"} <= {one["what"] for one in document["refusals"]}
    assert pl.read_parquet(out / "profile.parquet")["spend"].to_list() == [1.5, 2.5]
    assert run("--feast", feast, "--out", str(out)) == 1
    assert "already there" in capsys.readouterr().err


def test_an_argument_of_the_other_source_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--feast", str(tmp_path)) == 1
    assert "--feast needs --out" in capsys.readouterr().err
    assert run("--data", str(tmp_path), "--out", str(tmp_path)) == 1
    assert "--out is for --feast" in capsys.readouterr().err
