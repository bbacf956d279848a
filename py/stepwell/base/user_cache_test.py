"""Whose a cache folder is, and where it lies for a user without a home."""

import os
import tempfile
from pathlib import Path

import pytest

from stepwell.base.user_cache import is_ours_alone, user_cache


def test_lies_where_the_user_has_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "stepwell"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "stepwell"


def test_a_user_without_a_home_has_one_among_temporary_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert user_cache().parent == Path(tempfile.gettempdir())
    assert user_cache().name == f"stepwell-{os.getuid()}"


def test_a_folder_of_ours_is_a_folder_that_only_we_can_write(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert not is_ours_alone(folder)
    folder.mkdir(mode=0o700)
    assert is_ours_alone(folder)
    (tmp_path / "link").symlink_to(folder)
    assert not is_ours_alone(tmp_path / "link")
    folder.chmod(0o770)
    assert not is_ours_alone(folder)
