"""Figures in documents come from reports."""

import pytest

from bench.figures import Report, filled

MACHINE = {"processor": "P", "cores": 2, "memory_gib": 23, "date": "2026-01-01"}
DOCUMENT = "a\n<!-- figures:ops -->\nformer\n<!-- /figures -->\nb\n"


@pytest.fixture
def reports() -> dict[str, Report]:
    row = {
        "work": "w", "ours": 1.5, "unit": "us", "peers": {"torch": 3.0},
        "ratio": 2.0, "bar": "<= 2", "holds": False,
    }  # fmt: skip
    quality = {
        "ndcg_at_10": 0.4, "ndcg_at_10_new": 0.05,
        "recall_at_500": 0.5, "recall_at_500_new": 0.2,
    }  # fmt: skip
    tiers = ("full", "reduced", "popular")
    demo = {
        "machine": MACHINE,
        "quality": dict.fromkeys(tiers, quality),
        "latency_ms": {tier: {"p50": 1.0, "p99": 2.0} for tier in tiers},
    }
    return {"ops": {"machine": MACHINE, "rows": [row]}, "demo": demo}


def test_replaces_only_what_stands_between_the_marks(
    reports: dict[str, Report],
) -> None:
    text = filled(DOCUMENT, reports)
    assert text.startswith("a\n<!-- figures:ops -->\n| work |")
    assert text.endswith("<!-- /figures -->\nb\n")
    assert "former" not in text
    assert "| w | 1.5 | us | torch 3 | 2 | <= 2 | **no** |" in text


def test_a_column_that_no_row_uses_is_left_out(reports: dict[str, Report]) -> None:
    reports["ops"]["rows"][0] |= {"peers": {}, "ratio": None}
    text = filled(DOCUMENT, reports)
    assert "| work | ours | unit | bar | holds |" in text
    assert "| w | 1.5 | us | <= 2 | **no** |" in text


def test_writing_twice_changes_nothing(reports: dict[str, Report]) -> None:
    once = filled(DOCUMENT, reports)
    assert filled(once, reports) == once


def test_a_demo_report_becomes_a_row_a_tier(reports: dict[str, Report]) -> None:
    text = filled(DOCUMENT.replace("ops", "demo"), reports)
    assert "| FULL | 0.400 | 0.050 | 0.500 | 0.200 | 1 | 2 |" in text


def test_a_benchmark_without_a_report_is_said_to_have_none(
    reports: dict[str, Report],
) -> None:
    text = filled(DOCUMENT.replace("ops", "ladder"), reports)
    assert "<!-- figures:ladder -->\nNo report yet.\n<!-- /figures -->" in text


def test_a_marker_of_nothing_is_an_error(reports: dict[str, Report]) -> None:
    with pytest.raises(KeyError):
        filled(DOCUMENT.replace("ops", "missing"), reports)
