"""How lint chooses files and reports a check."""

import sys
from pathlib import Path

import pytest

from commands.lint import Check, files, run_check, tidy_files


def test_foreign_folders_are_left_out(tmp_path: Path) -> None:
    for name in ("cc/a.h", "bazel-bin/cc/a.h", "node_modules/x/a.h", ".venv/a.h"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert files(tmp_path, "**/*.h") == ["cc/a.h"]


def test_clang_tidy_reads_what_ships_of_its_rooms(tmp_path: Path) -> None:
    names = ("front/a.cc", "front/a_test.cc", "base/b_benchmark.cc", "index/c.cc")
    for name in names:
        (tmp_path / "cc" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cc" / name).touch()
    assert tidy_files(tmp_path) == ["cc/front/a.cc"]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_failed_check_shows_what_the_tool_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check = Check("spelling", python("print('wrnog'); raise SystemExit(1)"))
    assert run_check(check, tmp_path, fix=False)[0] == "failed"
    assert "wrnog" in capsys.readouterr().err


def test_fix_runs_the_command_that_rewrites(tmp_path: Path) -> None:
    rewrite = python("open('fixed', 'w')")
    check = Check("format", python("raise SystemExit(1)"), rewrite)
    assert run_check(check, tmp_path, fix=True)[0] == "ok"
    assert (tmp_path / "fixed").exists()


def test_a_missing_tool_is_a_visible_skip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_check(Check("buildifier", []), tmp_path, fix=False)[0] == "skipped"
    assert "skipped" in capsys.readouterr().err
