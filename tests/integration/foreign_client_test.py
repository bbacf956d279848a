"""A client in another language that learns the contracts from the server itself."""

import hashlib
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from integration.small_project import SmallProject
from server_process import ServerProcess

_SOURCE = Path(__file__).parent / "node_client"
_PINNED = ("package.json", "package-lock.json", ".npmrc")
_INSTALL_WAIT_S = 240
_CALL_WAIT_S = 60

pytestmark = pytest.mark.skipif(
    shutil.which("npm") is None, reason="needs Node: apt-get install nodejs npm"
)


def cached_modules() -> Path:
    """Returns the folder of the client's packages, installed when first asked for.

    One folder for each state of the pinned files. Not below $HOME: Bazel's tests have
    one each, and the packages would be fetched again and again.
    """
    contents = b"".join((_SOURCE / name).read_bytes() for name in _PINNED)
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    cache = home / ".cache" / "stepwell" / "node_client"
    installed = cache / hashlib.sha256(contents).hexdigest()[:16]
    if not installed.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            made = install(Path(scratch) / "install")
            try:
                made.rename(installed)
            except OSError:
                # Another run was faster; anything else is an error of this one.
                if not installed.exists():
                    raise
    return installed / "node_modules"


def install(folder: Path) -> Path:
    folder.mkdir()
    for name in _PINNED:
        shutil.copyfile(_SOURCE / name, folder / name)
    subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-progress"],
        cwd=folder,
        check=True,
        timeout=_INSTALL_WAIT_S,
    )
    return folder


@pytest.fixture(scope="module")
def modules() -> Path:
    return cached_modules()


def ask(
    modules: Path, address: str, user: str, num_items: int
) -> "subprocess.CompletedProcess[str]":
    command = ["node", str(_SOURCE / "client.js"), address, user, str(num_items)]
    return subprocess.run(
        command,
        env={**os.environ, "NODE_PATH": str(modules)},
        capture_output=True,
        text=True,
        timeout=_CALL_WAIT_S,
        check=False,
    )


def test_gets_recommendations_with_contracts_learned_by_reflection(
    ranker: ServerProcess, project: SmallProject, modules: Path
) -> None:
    ended = ask(modules, ranker.address, project.user_ids[0], 10)
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    assert answer["health"] == "SERVING"
    assert len(set(answer["items"])) == 10
    assert all(item.startswith("i0") for item in answer["items"])
    assert answer["tier"].startswith("TIER_")


def test_is_told_which_field_is_wrong(
    ranker: ServerProcess, project: SmallProject, modules: Path
) -> None:
    ended = ask(modules, ranker.address, project.user_ids[0], 501)
    assert ended.returncode == 1
    assert "INVALID_ARGUMENT" in ended.stderr
    assert "num_items" in ended.stderr
