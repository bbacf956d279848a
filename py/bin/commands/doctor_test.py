"""The doctor's looks, on made-up machines."""

import argparse
import hashlib
import json
import socket
from pathlib import Path

import pytest

from commands import doctor


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for group, lock in doctor.LOCKS.items():
        (tmp_path / lock).write_text(f"# {group}\n")
    (tmp_path / ".venv").mkdir()
    return tmp_path


def fill(root: Path) -> None:
    for group, lock in doctor.LOCKS.items():
        wanted = hashlib.sha256((root / lock).read_bytes()).hexdigest()
        (root / ".venv" / f"stepwell-{group}.sha256").write_text(wanted + "\n")


def test_packages_fail_until_the_environment_is_from_todays_lock(root: Path) -> None:
    assert doctor.look_at_packages(root).status == "fail"
    fill(root)
    assert doctor.look_at_packages(root).status == "ok"
    (root / "requirements.lock").write_text("# another\n")
    found = doctor.look_at_packages(root)
    assert found.status == "fail"
    assert found.found.endswith("runtime")
    assert found.fix == "./stepwell setup"


@pytest.mark.parametrize(
    ("version", "status"),
    [("2.13.0+cpu", "ok"), ("2.13.0", "ok"), ("2.14.0", "fail"), (None, "fail")],
)
def test_torch_has_to_be_the_pinned_one(
    root: Path, version: str | None, status: str
) -> None:
    packages = root / ".venv/lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    if version:
        (packages / f"torch-{version}.dist-info").mkdir()
    assert doctor.look_at_torch(root).status == status


def test_a_missing_program_names_the_package_to_install(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(root))
    assert "bazel-bootstrap" in doctor.look_at_bazel(root).fix
    assert doctor.look_at_compiler(root).status == "fail"
    assert doctor.look_at_redis(root).status == "warn"
    assert doctor.look_at_cuda(root).status == "warn"
    assert doctor.look_at_node(root).status == "warn"


def test_a_port_in_use_is_a_warning_with_a_way_out(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(doctor, "DEFAULT_PORT", taken.getsockname()[1])
        found = doctor.look_at_port(root)
    assert found.status == "warn"
    assert "--port 0" in found.fix


def test_json_holds_every_look_and_the_status_tells_of_a_failure(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPWELL_ROOT", str(root))
    assert doctor.run(argparse.Namespace(json=True)) == 1
    findings = json.loads(capsys.readouterr().out)
    assert len(findings) == len(doctor.LOOKS)
    assert all(one["fix"] for one in findings if one["status"] != "ok")
