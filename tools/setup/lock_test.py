"""A lock is the whole closure, exact, and each package stands in one of them."""

import pytest

from setup import lock

PYPROJECT = """
[project]
name = "x"
dependencies = ["rich"]

[project.optional-dependencies]
data = []
dev = ["pytest", "rich"]
"""


def test_a_lock_holds_what_its_packages_pull_in() -> None:
    pins = lock.closure(["rich"])
    assert {"rich", "markdown-it-py", "mdurl", "pygments"} <= set(pins)


def test_a_package_is_pinned_in_the_first_group_that_needs_it() -> None:
    texts = lock.locks(PYPROJECT)
    assert "\nrich==" in texts["requirements.lock"]
    assert "rich==" not in texts["requirements-dev.lock"]
    assert "\npytest==" in texts["requirements-dev.lock"]
    assert "pygments==" not in texts["requirements-dev.lock"]


def test_the_build_tag_of_a_local_wheel_is_left_out() -> None:
    assert "+" not in lock.rendered("runtime", lock.closure(["torch"]))


def test_markers_decide_what_belongs() -> None:
    assert "rich" not in lock.closure(["rich; python_version < '3'"])


def test_a_package_that_is_not_installed_is_an_error() -> None:
    with pytest.raises(lock.PackageNotFoundError):
        lock.closure(["no-such-package-anywhere"])


def test_peers_of_the_benchmark_may_be_missing() -> None:
    texts = lock.locks(PYPROJECT + 'bench = ["no-such-package-anywhere"]\n')
    assert "requirements-bench.lock" not in texts
    assert "requirements-dev.lock" in texts
