"""`./stepwell lint`: the checks that every change passes, the same as pre-commit's."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DESCRIPTION = """Runs every check, or those named, and prints what falls short.

  ./stepwell lint              all of them
  ./stepwell lint --fix        rewrite what a formatter can put right
  ./stepwell lint ruff mypy    two of them
"""
BUILDIFIER = "@bazel/buildifier@8.2.1"
TYPED_FOLDERS = ("py/stepwell", "py/bin", "tools", "loadtest", "tests")
TIDY_FOLDERS = (
    "cc/base",
    "cc/event_log",
    "cc/feature_rows",
    "cc/front",
    "cc/lmdb",
    "cc/online_store",
)
UNTIDY_ENDINGS = ("_test.cc", "_fixture.cc", "_fuzz.cc", "_benchmark.cc")
TIDY_FLAGS = ("-std=c++20", "-I.")
SKIPPED_FOLDERS = (".venv", ".venv-feast", ".cache", ".stepwell", "node_modules")


@dataclass(frozen=True, slots=True)
class Check:
    """One command; `fix` rewrites instead, where the tool can."""

    name: str
    command: list[str]
    fix: list[str] | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `lint`."""
    parser.description = DESCRIPTION
    parser.add_argument("--fix", action="store_true", help="rewrite what can be")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("names", nargs="*", help="only these checks")


def files(root: Path, *patterns: str) -> list[str]:
    """Returns the files of the tree that match, foreign folders left out."""
    return sorted(
        str(path.relative_to(root))
        for pattern in patterns
        for path in root.glob(pattern)
        if not set(path.relative_to(root).parts).intersection(SKIPPED_FOLDERS)
        and not path.relative_to(root).parts[0].startswith("bazel-")
    )


def tidy_files(root: Path) -> list[str]:
    """Returns the C++ files whose programs clang-tidy walks through, tests left out."""
    sources = files(root, *(f"{folder}/*.cc" for folder in TIDY_FOLDERS))
    return [name for name in sources if not name.endswith(UNTIDY_ENDINGS)]


def buildifier(root: Path) -> str | None:
    """Returns the program's path, installed once by npm; None where there is no npm."""
    folder = root / ".cache" / "npm"
    program = folder / "node_modules" / ".bin" / "buildifier"
    if not program.exists():
        if shutil.which("npm") is None:
            return None
        command = ["npm", "install", "--prefix", str(folder), "--no-save"]
        command += ["--silent", "--no-audit", "--no-fund", BUILDIFIER]
        folder.mkdir(parents=True, exist_ok=True)
        if subprocess.run(command, check=False, cwd=folder).returncode:
            return None
    return str(program)


def python_checks(venv: str) -> Iterator[Check]:
    """Yields the checks of Python sources."""
    ruff = f"{venv}/ruff"
    yield Check("ruff", [ruff, "check", "-q", "."], [ruff, "check", "-q", "--fix", "."])
    yield Check(
        "format", [ruff, "format", "-q", "--check", "."], [ruff, "format", "-q", "."]
    )
    yield Check("mypy", [f"{venv}/mypy", "--strict", *TYPED_FOLDERS])
    build = [sys.executable, "tools/lint/build_files.py"]
    yield Check("build-files", [*build, "--check"], build)
    yield Check("locks", [sys.executable, "tools/setup/lock.py", "--check"])


def other_checks(root: Path, venv: str) -> Iterator[Check]:
    """Yields the checks of C++, Bazel and spelling; an empty command is a skip."""
    sources = files(root, "cc/**/*.h", "cc/**/*.cc", "cc/**/*.cu", "cc/**/*.cuh")
    clang_format = f"{venv}/clang-format"
    if sources:
        yield Check(
            "clang-format",
            [clang_format, "--dry-run", "-Werror", *sources],
            [clang_format, "-i", *sources],
        )
    tidy = tidy_files(root)
    if tidy:
        command = [f"{venv}/clang-tidy", "--quiet", *tidy, "--", *TIDY_FLAGS]
        yield Check("clang-tidy", command)
    bazel = files(root, "**/BUILD.bazel", "**/*.bzl", "WORKSPACE")
    program = buildifier(root)
    if program is None:
        yield Check("buildifier", [])
    else:
        yield Check("buildifier", [program, "-mode=check", *bazel], [program, *bazel])
    yield Check("codespell", [f"{venv}/codespell"])


def run_check(check: Check, root: Path, fix: bool) -> tuple[str, float]:
    """Runs one check; returns "ok", "failed" or "skipped" and its seconds."""
    if not check.command:
        print(f"{check.name:<14} skipped: npm is missing", file=sys.stderr)
        return "skipped", 0.0
    start = time.monotonic()
    command = check.fix if fix and check.fix else check.command
    done = subprocess.run(
        command, cwd=root, check=False, capture_output=True, text=True
    )
    seconds = round(time.monotonic() - start, 1)
    outcome = "failed" if done.returncode else "ok"
    print(f"{check.name:<14} {outcome} ({seconds} s)", file=sys.stderr)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
    return outcome, seconds


def run(args: argparse.Namespace) -> int:
    """Runs the checks; returns 1 when one failed, 2 for an unknown name."""
    root = Path(os.environ.get("STEPWELL_ROOT", Path.cwd()))
    venv = str(Path(sys.executable).parent)
    if not (root / "bazel-bin/proto/stepwell_pb").exists():
        subprocess.run(["bazel", "build", "//proto/..."], cwd=root, check=False)
    checks = [*python_checks(venv), *other_checks(root, venv)]
    unknown = set(args.names) - {check.name for check in checks}
    if unknown:
        known = ", ".join(check.name for check in checks)
        print(f"unknown check {sorted(unknown)}; there are {known}", file=sys.stderr)
        return 2
    chosen = [check for check in checks if not args.names or check.name in args.names]
    results = {check.name: run_check(check, root, args.fix) for check in chosen}
    if args.json:
        print(json.dumps({name: outcome for name, (outcome, _) in results.items()}))
    return int(any(outcome == "failed" for outcome, _ in results.values()))
