"""What bootstrap finds missing, says without root, and does not do twice."""

import subprocess
from pathlib import Path

import pytest

from setup import bootstrap


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for lock in bootstrap.LOCKS.values():
        (tmp_path / lock).write_text("a==1\nb==2\n")
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    return tmp_path


class Commands(list[list[str]]):
    """Stands where apt and pip would run and keeps what they were told."""

    def run(self, command: list[str | Path], *_: object, **__: object) -> None:
        self.append([str(word) for word in command])


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    recorded = Commands()
    monkeypatch.setattr(bootstrap, "Step", lambda *_: recorded)
    return recorded


def test_a_program_that_is_not_on_the_path_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = bootstrap.missing_packages(["runtime"])
    assert {"bazel-bootstrap", "g++", "pkg-config"} <= set(missing)
    assert not {"redis-server", "strace"} & set(missing)
    dev = {"clang", "nodejs", "npm", "redis-server", "strace"}
    assert dev <= set(bootstrap.missing_packages(["runtime", "dev"]))


def test_a_file_that_is_not_there_makes_its_package_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = "libclang-rt-14-dev"
    monkeypatch.setattr(bootstrap, "DEV_FILES", {package: str(tmp_path / "none")})
    assert package in bootstrap.missing_packages(["runtime", "dev"])
    assert package not in bootstrap.missing_packages(["runtime"])
    monkeypatch.setattr(bootstrap, "DEV_FILES", {package: str(tmp_path)})
    assert package not in bootstrap.missing_packages(["runtime", "dev"])


def test_without_root_the_one_apt_line_is_said(
    root: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "missing_packages", lambda _: ["g++", "npm"])
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    said: list[str] = []
    assert bootstrap.bootstrap(["runtime"], said.append) == bootstrap.EXIT_NEEDS_ROOT
    assert said[-1].strip() == (
        "sudo apt-get update && sudo apt-get install -y --no-install-recommends g++ npm"
    )
    assert commands == []


def test_with_root_packages_come_before_the_environment(
    root: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "missing_packages", lambda _: ["g++"])
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (root / ".venv").mkdir()
    assert bootstrap.bootstrap(["runtime"], print) == 0
    words = [" ".join(command) for command in commands]
    assert words[0] == "apt-get update"
    assert words[1].endswith("g++")
    assert "-m venv" in words[2]
    assert "--no-deps" in words[3]
    assert words[3].endswith("requirements.lock")


def test_a_second_call_installs_nothing(
    root: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "missing_packages", lambda _: [])
    (root / ".venv").mkdir()
    bootstrap.bootstrap(["runtime", "dev"], print)
    monkeypatch.setattr(bootstrap, "ensure_venv", lambda *_: None)
    commands.clear()
    assert bootstrap.bootstrap(["runtime", "dev"], print) == 0
    assert commands == []


def test_a_changed_lock_is_installed_again(root: Path, commands: Commands) -> None:
    venv = root / ".venv"
    venv.mkdir()
    bootstrap.install_group(venv, "dev", root / "log")
    assert bootstrap.is_installed(venv, "dev")
    (root / bootstrap.LOCKS["dev"]).write_text("a==3\n")
    assert not bootstrap.is_installed(venv, "dev")


def test_a_failed_install_leaves_no_stamp(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def run(self, *_: object, **__: object) -> None:
            raise subprocess.CalledProcessError(1, ["pip"])

    monkeypatch.setattr(bootstrap, "Step", lambda *_: Failing())
    (root / ".venv").mkdir()
    with pytest.raises(subprocess.CalledProcessError):
        bootstrap.install_group(root / ".venv", "dev", root / "log")
    assert not bootstrap.is_installed(root / ".venv", "dev")
