"""The demo from nothing to answers, and again with everything made already."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from commands import demo
from project_state import ProjectState, running_server

TIERS = ("full", "reduced", "popular")
QUALITY = ("ndcg_at_10", "ndcg_at_10_new", "recall_at_500")


def run_demo(root: Path, *more: str) -> dict[str, Any]:
    """Runs `./stepwell demo` on generated data; returns its report."""
    report = root / "report.json"
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    arguments = ["--data", "generated", "--exit", "--port", "0", "--report"]
    status = demo.run(parser.parse_args([*arguments, str(report), *more]))
    assert status == 0
    return dict(json.loads(report.read_text()))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def reports(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The reports of a first and of a second run in the same place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPWELL_ROOT", str(root))
        # Latency is measured by the benchmark; here it has to be there.
        patch.setattr(demo, "NUM_LATENCY_REQUESTS", 20)
        return run_demo(root), run_demo(root)


Reports = tuple[dict[str, Any], dict[str, Any]]


def test_goes_through_every_phase_and_then_only_through_what_is_left_to_do(
    reports: Reports,
) -> None:
    first, second = (list(report["phases"]) for report in reports)
    asked = ["serve", "recommend", "tiers", "feedback", "latency"]
    assert first == ["data", "train", "publish", *asked]
    assert second == ["data", *asked]


def test_reports_the_quality_of_every_tier(reports: Reports) -> None:
    for report in reports:
        for tier in TIERS:
            for name in QUALITY:
                assert 0.0 <= report["quality"][tier][name] <= 1.0
        full, _, popular = (report["quality"][tier] for tier in TIERS)
        # Made-up users have habits and tastes: a ranker that learned knows them.
        assert full["ndcg_at_10"] > 2 * popular["ndcg_at_10"]
    assert reports[0]["quality"] == reports[1]["quality"]


def test_reports_the_latency_of_every_tier(reports: Reports) -> None:
    for report in reports:
        for tier in TIERS:
            latency = report["latency_ms"][tier]
            assert 0.0 < latency["p50"] <= latency["p99"]


def test_answers_five_users_at_least_from_the_published_release(
    reports: Reports,
) -> None:
    for report in reports:
        assert len({answer["user_id"] for answer in report["answers"]}) >= 5
        for answer in report["answers"]:
            assert len(answer["items"]) == 5
            assert all(item["name"] for item in answer["items"])
            assert answer["lately"]
            assert answer["release"] == "v000001"
        assert len(report["tiers"]) == len(TIERS)


def test_an_event_changes_the_next_answer(reports: Reports) -> None:
    assert all(report["feedback"]["changed"] for report in reports)


def test_leaves_no_server_and_nothing_outside_of_its_folder(
    root: Path, reports: Reports
) -> None:
    assert running_server(root) is None
    assert ProjectState(root, "generated").folder.is_dir()
    assert {path.name for path in root.iterdir()} == {".stepwell", "report.json"}
