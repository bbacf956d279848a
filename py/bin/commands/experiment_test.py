"""`./stepwell experiment`: what it reads, prints and exits with."""

import argparse
import json
import random
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commands import experiment
from stepwell.feedback.logged_events import event_record, impression_record
from stepwell.stores.event_log import EventRecord
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import common_pb2, feedback_pb2

NUM_USERS = 300


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    experiment.add_arguments(parser)
    return experiment.run(parser.parse_args([*words]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One experiment over everybody."""
    arms = [
        {"name": "control", "num_buckets": 5_000},
        {"name": "wide", "num_buckets": 5_000, "overrides": {"ef_search": 800}},
    ]
    one = {"name": "search", "first_bucket": 0, "arms": arms}
    layer = {"name": "retrieval", "salt": "s", "experiments": [one]}
    path = tmp_path / "experiments.json"
    path.write_text(json.dumps({"format_version": 1, "layers": [layer]}))
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose log has an experiment in which arm "wide" sells more."""
    monkeypatch.setenv("STEPWELL_ROOT", str(tmp_path))
    folder = tmp_path / ".stepwell" / "generated"
    folder.mkdir(parents=True)
    draw = random.Random(4)
    records: list[EventRecord] = []
    with closing(LmdbEventLog(folder / "events.lmdb")) as log:
        for number in range(8 * NUM_USERS):
            user = number % NUM_USERS
            arm = ("control", "wide")[user % 2]
            impression = feedback_pb2.Impression(
                request_id=f"r{number}",
                user_id=f"user-{user}",
                event_time_seconds=1_000 + number,
                tier=common_pb2.TIER_FULL,
                items=[feedback_pb2.ShownItem(item_id="tea")],
                exposures=[feedback_pb2.Exposure(experiment="search", arm=arm)],
            )
            records.append(impression_record(impression, 0))
            if draw.random() < (0.6 if arm == "wide" else 0.2):
                event = feedback_pb2.Event(
                    event_id=f"e{number}",
                    user_id=f"user-{user}",
                    item_id="tea",
                    request_id=f"r{number}",
                    event_type=common_pb2.EVENT_TYPE_PURCHASE,
                    event_time_seconds=1_000 + number,
                    value=2.0,
                )
                records.append(event_record(event, 0))
        for first in range(0, len(records), 500):
            log.append(records[first : first + 500])
    return folder


def test_a_right_file_is_told_and_a_wrong_one_names_its_field(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("validate", str(file)) == 0
    assert "1 experiments in 1 layers" in capsys.readouterr().out
    assert run("validate", str(file), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"layers": 1, "experiments": 1}
    file.write_text(file.read_text().replace("800", "80000"))
    assert run("validate", str(file)) == 1
    said = capsys.readouterr().err
    assert "layers.0.experiments.0.arms.1.overrides.ef_search: is 80000" in said
    assert "[1, 2000]" in said


def test_a_file_is_described_with_a_users_arms(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("describe", str(file), "--user", "ann", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    (exposure,) = said["user"]["exposures"]
    is_wide = exposure["arm"] == "wide"
    assert (exposure["bucket"] >= 5_000) == is_wide
    assert said["user"]["overrides"] == ({"ef_search": 800} if is_wide else {})
    assert run("describe", str(file), "--user", "ann") == 0
    text = capsys.readouterr().out
    assert "search: buckets 0 to 9999" in text
    assert "ef_search=800" in text
    assert f"  search: {exposure['arm']} (bucket {exposure['bucket']})" in text


def comparison(said: dict[str, Any], metric: str) -> dict[str, Any]:
    return next(one for one in said["comparisons"] if one["metric"] == metric)


def test_a_report_finds_what_the_log_says(
    project: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("report", "search", "--data", "generated", "--file", str(file))
    assert run(*words, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["arms"] == [
        {"name": name, "users": NUM_USERS // 2, "slates": 4 * NUM_USERS}
        for name in ("control", "wide")
    ]
    sold = comparison(said, "purchases")
    assert sold["control"] == pytest.approx(0.2, abs=0.04)
    assert sold["value"] == pytest.approx(0.6, abs=0.04)
    assert sold["always_valid"]["p"] < 0.01
    assert sold["effect"] == pytest.approx(sold["value"] - sold["control"])
    assert comparison(said, "clicks")["always_valid"]["p"] == 1.0
    assert run(*words) == 0
    text = capsys.readouterr().out
    assert "control 150 users with 1,200 slates" in text
    assert "as dealt" in text


def test_charts_are_written_of_what_is_known(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    charts = tmp_path / "charts"
    words = ("report", "search", "--data", "generated", "--plot", str(charts))
    assert run(*words) == 0
    assert "sample ratio: not known" in capsys.readouterr().out
    names = {path.name for path in charts.iterdir()}
    assert names == {"search_wide_purchases.svg", "search_wide_purchase_value.svg"}
    for path in charts.iterdir():
        root = ElementTree.fromstring(path.read_text())
        assert root.tag.endswith("svg")


def test_arms_that_are_not_as_dealt_exit_1(
    project: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = json.loads(file.read_text())
    said["layers"][0]["experiments"][0]["arms"][0]["num_buckets"] = 2_000
    file.write_text(json.dumps(said))
    words = ("report", "search", "--data", "generated", "--file", str(file))
    assert run(*words) == 1
    assert "MISMATCH" in capsys.readouterr().out


def test_an_arm_that_nobody_was_seen_in_is_told_and_exits_1(
    project: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = json.loads(file.read_text())
    arms = said["layers"][0]["experiments"][0]["arms"]
    arms[1]["num_buckets"] = 2_500
    arms[0]["num_buckets"] = 2_500
    arms.append({"name": "narrow", "num_buckets": 2_500})
    file.write_text(json.dumps(said))
    words = ("report", "search", "--data", "generated", "--file", str(file))
    assert run(*words) == 1
    text = capsys.readouterr().out
    assert "narrow 0 users" in text
    assert "MISMATCH" in text
    assert "narrow against" not in text


def test_a_report_since_a_time_is_of_what_was_shown_then(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("report", "search", "--data", "generated", "--since")
    assert run(*words, str(1_000 + 4 * NUM_USERS), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert [arm["slates"] for arm in said["arms"]] == [2 * NUM_USERS] * 2


def test_what_is_not_there_is_said(
    project: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("report", "other", "--data", "generated") == 1
    assert "named are: search" in capsys.readouterr().err
    words = ("report", "other", "--data", "generated", "--file", str(file))
    assert run(*words) == 1
    assert "has no experiment 'other'; it has search" in capsys.readouterr().err
    assert run("report", "search", "--data", "generated", "--since", "soon") == 1
    assert "--since" in capsys.readouterr().err
    assert run("report", "search", "--data", "generated", "--since", "2026-11-22") == 1
    assert "no slate was shown since 1795305600" in capsys.readouterr().err


def test_a_simulation_tells_how_often_each_test_was_wrong(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(7)
    rows = 6_000
    table = pa.table(
        {
            "user_id": [f"user-{draw.randrange(400)}" for _ in range(rows)],
            "item_id": [f"item-{int(40 * draw.random() ** 2)}" for _ in range(rows)],
            "event_time": [draw.randrange(200 * 86_400) for _ in range(rows)],
        }
    )
    (project / "dataset").mkdir()
    pq.write_table(table, project / "dataset" / "events.parquet")
    words = ("simulate", "--data", "generated", "--aa", "40", "--ab", "10")
    more = ("--looks", "20", "--alpha", "0.05", "--lose", "0.5")
    assert run(*words, *more, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["is_kept"] is True
    same, loss = said["runs"]
    assert (same["num_runs"], loss["num_runs"]) == (40, 10)
    assert same["num_users"] == 400
    assert loss["found_at_end"] == 10
    assert run(*words, *more) == 0
    assert "always valid" in capsys.readouterr().out


def test_without_the_data_the_simulation_says_what_makes_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("simulate", "--data", "generated") == 1
    assert "./stepwell train" in capsys.readouterr().err
