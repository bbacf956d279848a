"""The shape of a benchmark report."""

import json
from pathlib import Path

import pytest

from bench.report import BenchRow, ratio_to_best, write_json


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


def test_json_has_machine_and_rows(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(
        path, "ops", [BenchRow("w", 1.0, "us", {"peer": 2.0}, 2.0, "<= 3", True)]
    )
    report = json.loads(path.read_text())
    assert set(report) == {"name", "machine", "rows"}
    assert set(report["rows"][0]) == {
        "work", "ours", "unit", "peers", "ratio", "bar", "holds",
    }  # fmt: skip
