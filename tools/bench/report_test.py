"""The shape of a benchmark report."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.report import (
    BenchRow,
    at_least,
    at_most,
    cells_of,
    headings,
    ratio_to_best,
    read_rows,
    with_parts_replaced,
    write_json,
)
from stepwell.base.errors import DataLossError


@pytest.mark.parametrize(
    ("ours", "peers", "lower_is_better", "expected"),
    [
        (2.0, {"a": 4.0, "b": 3.0}, True, 1.5),
        (10.0, {"a": 4.0, "b": 5.0}, False, 2.0),
        (1.0, {}, True, None),
    ],
)
def test_ratio_is_against_the_best_peer(
    ours: float, peers: dict[str, float], lower_is_better: bool, expected: float | None
) -> None:
    assert ratio_to_best(ours, peers, lower_is_better) == expected


def test_a_limit_is_met_by_the_figure_that_equals_it() -> None:
    assert at_most("w", 2.0, "ms", 2.0, {"a": 3.0}).ratio == 1.5
    assert [at_most("w", ours, "ms", 2.0).holds for ours in (2.0, 2.1)] == [True, False]
    assert [at_least("w", ours, "s", 2.0).holds for ours in (2.0, 1.9)] == [True, False]
    assert at_least("w", 1.0, "QPS", 2.0).bar == ">= 2 QPS"


def test_json_has_machine_and_rows(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(
        path, "ops", [BenchRow("w", 1.0, "us", {"peer": 2.0}, 2.0, "<= 3", True)]
    )
    report = json.loads(path.read_text())
    assert set(report) == {"name", "machine", "rows", "notes"}
    assert set(report["rows"][0]) == {
        "work", "ours", "unit", "peers", "ratio", "bar", "holds",
        "also", "ceiling", "share", "part",
    }  # fmt: skip


def test_a_row_shows_its_share_and_in_brackets_what_only_informs() -> None:
    row = BenchRow(
        "w", 4.0, "us", {"a": 8.0}, 2.0, ">= 2x", False, {"b": 1.0}, 3.0, 0.75
    )
    cells = dict(zip(headings(True), cells_of(asdict(row), True), strict=True))
    assert cells["peers"] == "a 8, (b 1)"
    assert cells["share"] == "75%"
    assert cells["holds"] == "NO"


def test_reports_without_ceilings_have_no_columns_for_them() -> None:
    row = {"work": "w", "ours": 1.0, "unit": "s", "peers": {}, "ratio": None}
    cells = cells_of(row | {"bar": "", "holds": True}, False)
    assert cells == ["w", "1", "s", "-", "-", "-", "-"]
    assert len(cells) == len(headings(False))


def row(part: str, ours: float) -> BenchRow:
    return BenchRow("w", ours, "s", part=part)


def test_a_part_that_was_measured_again_stands_where_it_stood(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    assert read_rows(path) == []
    write_json(path, "releases", [row("a", 1), row("b", 2), row("b", 3), row("c", 4)])
    again = with_parts_replaced(read_rows(path), [row("b", 5)])
    assert [one.ours for one in again] == [1, 5, 4]
    assert with_parts_replaced(again, [row("d", 6)]) == [*again, row("d", 6)]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{"no": 1}]}'])
def test_a_file_that_is_no_report_is_not_added_to(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(DataLossError, match=r"report\.json is no report"):
        read_rows(path)
