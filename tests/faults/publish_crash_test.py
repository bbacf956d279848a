"""K4: a change of the registry killed at any step, the power gone with it: old or new.

strace kills the process on entering the N-th call of each kind that changes the
registry, for every N there is.
"""

import itertools
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from faults.cut_disk import CutDisk, why_no_cut_disk
from faults.killed_change import (
    AFTER,
    BEFORE,
    BETWEEN,
    MAX_CALLS,
    PUBLISH,
    ROLL_BACK,
    change,
    change_under,
    make_project,
    seen,
)
from stepwell.base.errors import StepwellError
from stepwell.releases.durable_files import sync_tree

# Steps of each kind that a change has at least; fewer means that one went missing.
EXPECTED_DEATHS = {
    (PUBLISH, "rename"): 3,
    (PUBLISH, "mkdir"): 2,
    (PUBLISH, "write"): 2,
    (PUBLISH, "fsync"): 8,
    (PUBLISH, "unlinkat"): 4,
    (PUBLISH, "rmdir"): 1,
    (ROLL_BACK, "rename"): 1,
    (ROLL_BACK, "write"): 1,
    (ROLL_BACK, "fsync"): 2,
}
# What a sync and a write change is seen by nobody before the power goes.
SEEN_AT_ONCE = [one for one in EXPECTED_DEATHS if one[1] not in ("fsync", "write")]

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace: apt-get install strace"
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "project"
    make_project(root)
    return root


@pytest.fixture
def disk(tmp_path: Path) -> CutDisk:
    if why_not := why_no_cut_disk(tmp_path):
        pytest.skip(why_not)
    return CutDisk(tmp_path / "disk.img", tmp_path / "disk", size_mib=16)


def dies_at(root: Path, name: str, call: str, number: int) -> bool:
    """Kills a change at its number-th call of a kind; False when it has fewer."""
    assert number < MAX_CALLS
    status = change_under(root, name, f"{call}:signal=KILL:when={number}")
    assert status in (0, -signal.SIGKILL, 128 + signal.SIGKILL)
    return status != 0


def lay_out(template: Path, root: Path) -> None:
    """The project as it was, on disk whatever happens next."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(template, root)
    sync_tree(root.parent)


def assert_old_or_new(root: Path, name: str) -> None:
    """What is there is one of the two, and the next publish succeeds."""
    found = seen(root)
    assert found in {BEFORE, AFTER[name]} | BETWEEN[name]
    change(root, PUBLISH)
    assert seen(root).live == found.serials[-1] + 1
    assert not list((root / "registry").glob("*.tmp"))


@pytest.mark.parametrize(("name", "call"), SEEN_AT_ONCE)
def test_a_reader_sees_old_or_new_wherever_a_change_dies(
    template: Path, tmp_path: Path, name: str, call: str
) -> None:
    num_deaths = 0
    for number in itertools.count(1):
        root = tmp_path / f"{number}"
        shutil.copytree(template, root)
        if not dies_at(root, name, call, number):
            assert seen(root) == AFTER[name]
            break
        assert_old_or_new(root, name)
        num_deaths += 1
    assert num_deaths >= EXPECTED_DEATHS[name, call]


@pytest.mark.parametrize(("name", "call"), EXPECTED_DEATHS)
def test_k4_a_reader_sees_old_or_new_when_the_power_goes_too(
    template: Path, disk: CutDisk, name: str, call: str
) -> None:
    root = disk.mount_point / "project"
    num_deaths = 0
    for number in itertools.count(1):
        with disk.power():
            lay_out(template, root)
            died = dies_at(root, name, call, number)
            disk.cut()
        with disk.power():
            if not died:
                # Who was told that it is live finds it live.
                assert seen(root).live == AFTER[name].live
                break
            assert_old_or_new(root, name)
            num_deaths += 1
    assert num_deaths >= EXPECTED_DEATHS[name, call]


@pytest.mark.parametrize("name", [PUBLISH, ROLL_BACK])
def test_syncs_that_only_say_so_would_be_found_out(
    template: Path, disk: CutDisk, name: str
) -> None:
    root = disk.mount_point / "project"
    with disk.power():
        lay_out(template, root)
        assert change_under(root, name, "fsync:retval=0") == 0
        disk.cut()
    with disk.power(), suppress(StepwellError, OSError):
        assert seen(root).live != AFTER[name].live


@pytest.mark.parametrize("injection", ["fsync:error=EIO:when=2", "fsync:error=EIO"])
def test_a_publish_whose_sync_fails_publishes_nothing(
    template: Path, tmp_path: Path, injection: str
) -> None:
    root = tmp_path / "project"
    shutil.copytree(template, root)
    assert change_under(root, PUBLISH, injection) == 1
    assert seen(root) == BEFORE
