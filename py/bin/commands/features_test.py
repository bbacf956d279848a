"""`./stepwell features`: what is printed, for people and for machines."""

import argparse
import json
import re
from pathlib import Path

import pytest

from commands import features
from commands.features import list_text, view_text
from stepwell.base.metric_names import ALL_METRICS
from stepwell.schema.feature_registry import RANKER_SERVICE, REGISTRY, USER_ACTIVITY

PAGE = Path(__file__).resolve().parents[3] / "docs" / "features.md"


def _run(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    features.add_arguments(parser)
    return features.run(parser.parse_args(argv))


def test_the_list_has_each_view_with_its_windows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _run("list") == 0
    said = capsys.readouterr().out
    assert re.search(r"user_activity +user +stream +30 +90 d +10 min +default", said)
    assert re.search(r"user_profile +user +batch +2 +400 d +- +baseline", said)
    assert f"service ranker, schema {RANKER_SERVICE.schema_hash()[:16]}" in said


def test_a_view_is_described_with_each_feature(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _run("describe", "user_activity") == 0
    said = capsys.readouterr().out
    assert said.startswith("user_activity: how much the user does")
    assert USER_ACTIVITY.schema_hash() in said
    assert all(f"\n{feature.name} " in said for feature in USER_ACTIVITY.features)
    assert _run("describe", "user_profile") == 0
    assert "uint64 x 16" in capsys.readouterr().out


def test_a_machine_reads_the_same_as_one_json_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _run("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [view["name"] for view in listed["views"]] == [
        view.name for view in REGISTRY.views
    ]
    assert listed["services"][0]["schema_hash"] == RANKER_SERVICE.schema_hash()
    assert _run("describe", "user_activity", "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert described in listed["views"]
    assert described["row_bytes"] == 144


def test_an_unknown_view_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _run("describe", "user_activty") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "did you mean user_activity?" in said.err


def test_a_span_is_told_in_its_largest_whole_unit() -> None:
    seconds = (0, 59, 60, 5_400, 7_200, 90 * 86_400)
    assert [features.span(n) for n in seconds] == [
        "-",
        "59 s",
        "1 min",
        "90 min",
        "2 h",
        "90 d",
    ]


def test_the_page_has_the_catalogue_as_it_is_printed() -> None:
    page = PAGE.read_text()
    texts = [list_text(), *(view_text(view) for view in REGISTRY.views)]
    for text in texts:
        assert f"```\n{text}\n```" in page, "put the new text of the command there"


def test_the_page_names_counters_that_exist() -> None:
    named = set(re.findall(r"`(stepwell_[a-z0-9_]+)", PAGE.read_text()))
    assert named
    assert named <= {spec.name for spec in ALL_METRICS}
