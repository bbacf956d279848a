"""`./stepwell test`: build everything, run every test, close on one line of counts."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DESCRIPTION = """Builds and tests all of the tree, or the targets named.

  ./stepwell test                                  everything
  ./stepwell test //py/stepwell/base/...           one room
  ./stepwell test -- --test_output=all //cc/...    arguments of bazel after --
  ./stepwell test --coverage                       line coverage of py/stepwell
"""
PASSED = frozenset({"PASSED", "FLAKY"})
MIN_COVERAGE_PERCENT = 85


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `test`."""
    parser.description = DESCRIPTION
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    parser.add_argument(
        "--coverage",
        action="store_true",
        help=f"run pytest in one go; fail below {MIN_COVERAGE_PERCENT} %%",
    )
    parser.add_argument("targets", nargs="*", help="bazel targets and arguments")


def outcomes(events: Iterable[str]) -> dict[str, str]:
    """Returns target -> "passed", "failed" or "skipped" from Bazel's event lines.

    A target that has no CUDA compiler, say, completes as SKIPPED; a test whose build
    failed never reports and counts as failed.
    """
    found: dict[str, str] = {}
    for line in events:
        event = json.loads(line)
        identity = event.get("id", {})
        if "testSummary" in identity:
            status = event.get("testSummary", {}).get("overallStatus", "NO_STATUS")
            label = identity["testSummary"]["label"]
            found[label] = "passed" if status in PASSED else "failed"
        elif "targetCompleted" in identity:
            label = identity["targetCompleted"]["label"]
            if event.get("aborted", {}).get("reason") == "SKIPPED":
                found[label] = "skipped"
            elif label.endswith("_test") and not event.get("completed", {}).get(
                "success"
            ):
                found.setdefault(label, "failed")
    return found


def closing_line(found: dict[str, str]) -> str:
    """Returns the line that a reader of logs looks for: "N passed, N failed"."""
    counts = Counter(found.values())
    line = f"{counts['passed']} passed, {counts['failed']} failed"
    return f"{line}, {counts['skipped']} skipped" if counts["skipped"] else line


def run_bazel(root: Path, arguments: list[str], as_json: bool) -> int:
    """Runs `bazel test`, prints the closing line; returns bazel's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.json"
        command = ["bazel", "test", f"--build_event_json_file={events}"]
        command += ["--keep_going", *(arguments or ["//..."])]
        status = subprocess.run(
            command, cwd=root, check=False, stdin=subprocess.DEVNULL
        ).returncode
        lines = events.read_text().splitlines() if events.exists() else []
    found = outcomes(lines)
    sys.stderr.flush()
    for label, outcome in sorted(found.items()):
        if outcome != "passed":
            print(f"{outcome}: {label}")
    print(json.dumps(Counter(found.values())) if as_json else closing_line(found))
    return status


def room_lines(report: dict[str, Any]) -> list[str]:
    """Returns "room statements percent" lines from the JSON report of coverage."""
    statements: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    for file, found in report["files"].items():
        room = Path(file).parent.name
        statements[room] += found["summary"]["num_statements"]
        covered[room] += found["summary"]["covered_lines"]
    return [
        f"{room:<14}{count:>7}{covered[room] / count:>8.1%}"
        for room, count in sorted(statements.items())
        if count
    ]


def run_coverage(root: Path, arguments: list[str]) -> int:
    """Builds what the tests load, then runs pytest over the sources with coverage."""
    build = ["bazel", "build", "--ui_event_filters=-info", "//py/...", "//cc/..."]
    status = subprocess.run(build, cwd=root, check=False).returncode
    if status:
        return status
    roots = ["py", "py/bin", "tools", "tests", "loadtest", "bazel-bin/proto"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": ":".join(str(root / name) for name in roots),
    }
    command = [sys.executable, "-m", "pytest", "-q", *(arguments or ["py", "tests"])]
    command += ["--cov=py/stepwell", "--cov-report=term:skip-covered"]
    command += [f"--cov-fail-under={MIN_COVERAGE_PERCENT}"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        command.append(f"--cov-report=json:{report}")
        status = subprocess.run(
            command, cwd=root, env=environment, check=False
        ).returncode
        if report.exists():
            print(*room_lines(json.loads(report.read_text())), sep="\n")
    return status


def run(args: argparse.Namespace) -> int:
    """Tests; returns 0 when every test passed."""
    root = Path(os.environ.get("STEPWELL_ROOT", Path.cwd()))
    if args.coverage:
        return run_coverage(root, args.targets)
    return run_bazel(root, args.targets, args.json)
