"""The trainer process: what it refuses, and how it reports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import trainer_main
from stepwell.base.errors import FailedPreconditionError


def test_one_process_may_train() -> None:
    trainer_main.check_world({})
    trainer_main.check_world({"WORLD_SIZE": "1"})


def test_several_processes_are_refused_not_ignored() -> None:
    with pytest.raises(FailedPreconditionError, match="WORLD_SIZE is 2, must be 1"):
        trainer_main.check_world({"WORLD_SIZE": "2"})


def test_lines_come_at_each_part_and_then_at_intervals() -> None:
    at = [0.0]
    lines: list[str] = []
    step = trainer_main.progress_lines(5.0, lambda: at[0], lines.append)
    for seconds in (0, 2, 4, 6, 8):
        at[0] = float(seconds)
        step("rows", seconds / 10)
    step("ranker", 0.0)
    assert lines == ["rows 0%\n", "rows 60%, 4 s left\n", "ranker 0%\n"]


def test_says_what_is_wrong_with_the_data_and_exits_1(tmp_path: Path) -> None:
    command = [sys.executable, trainer_main.__file__]
    command += [f"--data_dir={tmp_path}", f"--out_dir={tmp_path}/out"]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **paths}, timeout=60
    )
    assert done.returncode == 1
    assert "trainer: " in done.stderr
    assert "has neither events.parquet nor events.csv" in done.stderr
