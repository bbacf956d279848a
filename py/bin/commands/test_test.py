"""Reading Bazel's events: what counts as passed, failed and skipped."""

import json

import pytest

from commands.test import closing_line, outcomes, room_lines


def summary(label: str, status: str) -> str:
    return json.dumps(
        {
            "id": {"testSummary": {"label": label}},
            "testSummary": {"overallStatus": status},
        }
    )


def completed(label: str, **rest: object) -> str:
    return json.dumps({"id": {"targetCompleted": {"label": label}}, **rest})


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("PASSED", "passed"),
        ("FLAKY", "passed"),
        ("FAILED", "failed"),
        ("TIMEOUT", "failed"),
        ("NO_STATUS", "failed"),
    ],
)
def test_a_summary_decides_a_test(status: str, outcome: str) -> None:
    assert outcomes([summary("//a:b_test", status)]) == {"//a:b_test": outcome}


def test_a_test_whose_build_failed_counts_as_failed() -> None:
    events = [completed("//a:b_test", completed={"success": False})]
    assert outcomes(events) == {"//a:b_test": "failed"}


def test_a_library_whose_build_failed_is_no_test() -> None:
    assert outcomes([completed("//a:b", completed={})]) == {}


def test_a_target_without_its_compiler_counts_as_skipped() -> None:
    events = [completed("//cc/ops:cuda", aborted={"reason": "SKIPPED"})]
    assert outcomes(events) == {"//cc/ops:cuda": "skipped"}


def test_the_closing_line_names_all_counts() -> None:
    found = {"a": "passed", "b": "passed", "c": "failed"}
    assert closing_line(found) == "2 passed, 1 failed"
    assert closing_line({**found, "d": "skipped"}) == "2 passed, 1 failed, 1 skipped"
    assert closing_line({}) == "0 passed, 0 failed"


def test_coverage_is_summed_by_room() -> None:
    def summary(statements: int, covered: int) -> dict[str, dict[str, int]]:
        return {"summary": {"num_statements": statements, "covered_lines": covered}}

    files = {
        "py/stepwell/__init__.py": summary(0, 0),
        "py/stepwell/stores/lmdb.py": summary(30, 30),
        "py/stepwell/stores/redis.py": summary(10, 0),
        "py/stepwell/base/clock.py": summary(4, 4),
    }
    assert [line.split() for line in room_lines({"files": files})] == [
        ["base", "4", "100.0%"],
        ["stores", "40", "75.0%"],
    ]
