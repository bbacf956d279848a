"""The launcher: help before anything is installed, set-up once, exit statuses kept."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {
    "runtime": "requirements.lock",
    "data": "requirements-data.lock",
    "dev": "requirements-dev.lock",
}
# Stands where the real one would ask apt and pip: says what it was asked for.
BOOTSTRAP = "import sys; print('bootstrap', *sys.argv[1:]); sys.exit(3)"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the launcher, the command table and a bootstrap that only speaks."""
    shutil.copy(ROOT / "stepwell", tmp_path / "stepwell")
    (tmp_path / "tools/setup").mkdir(parents=True)
    (tmp_path / "tools/setup/bootstrap.py").write_text(BOOTSTRAP)
    (tmp_path / "py/bin").mkdir(parents=True)
    shutil.copy(ROOT / "py/bin/command_table.py", tmp_path / "py/bin")
    (tmp_path / "py/bin/stepwell_main.py").write_text("print('ran')")
    for group, lock in LOCKS.items():
        (tmp_path / lock).write_text(f"# {group}\n")
    return tmp_path


def launch(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tree / "stepwell", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "STEPWELL_PYTHON": sys.executable},
        cwd="/",
    )


def make_ready(tree: Path) -> None:
    (tree / ".venv/bin").mkdir(parents=True)
    (tree / ".venv/bin/python").symlink_to(sys.executable)
    for group, lock in LOCKS.items():
        wanted = hashlib.sha256((tree / lock).read_bytes()).hexdigest()
        (tree / f".venv/stepwell-{group}.sha256").write_text(wanted + "\n")


def test_help_needs_nothing_installed(tree: Path) -> None:
    done = launch(tree)
    assert done.returncode == 0
    assert "./stepwell demo" in done.stdout
    assert not (tree / ".venv").exists()


def test_a_bare_machine_is_set_up_with_the_groups_of_the_command(tree: Path) -> None:
    done = launch(tree, "test")
    assert done.stdout.split() == (
        ["bootstrap", "--group", "runtime", "--group", "data", "--group", "dev"]
    )
    assert done.returncode == 3
    assert launch(tree, "demo").stdout.split()[-1] == "data"


def test_a_ready_machine_is_not_set_up_again(tree: Path) -> None:
    make_ready(tree)
    assert launch(tree, "test").stdout == "ran\n"


def test_a_changed_lock_is_set_up_again(tree: Path) -> None:
    make_ready(tree)
    (tree / "requirements-dev.lock").write_text("# newer\n")
    assert launch(tree, "test").stdout.startswith("bootstrap")
