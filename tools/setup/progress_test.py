"""A step shows its count, keeps a log and hands over the words of a failure."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from setup.progress import Step


class Terminal(io.StringIO):
    """A buffer that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def python(code: str) -> list[str | Path]:
    return [sys.executable, "-c", code]


def test_output_goes_to_the_log_and_the_result_to_the_reader(tmp_path: Path) -> None:
    out = io.StringIO()
    Step("packages", tmp_path / "log", out).run(python("print('Collecting a')"))
    assert (tmp_path / "log").read_text() == "Collecting a\n"
    assert "packages: done in" in out.getvalue()


def test_a_failure_carries_the_last_lines(tmp_path: Path) -> None:
    step = Step("packages", tmp_path / "log", io.StringIO())
    code = "for i in range(100): print(i)\nraise SystemExit(4)"
    with pytest.raises(subprocess.CalledProcessError) as failure:
        step.run(python(code))
    assert failure.value.returncode == 4
    assert failure.value.output.splitlines() == [str(i) for i in range(60, 100)]


def test_a_terminal_sees_one_line_rewritten(tmp_path: Path) -> None:
    out = Terminal()
    step = Step("packages", tmp_path / "log", out)
    step.run(python("print('Collecting a')"), counted="Collecting ", total=3)
    assert out.getvalue().startswith("\r\x1b[Kstepwell: packages ... 0/3")
    assert out.getvalue().count("\n") == 1
