from pathlib import Path

import fsspec
import pytest

from far_registry import far_registry, is_far
from stepwell.base.errors import NotFoundError
from stepwell.releases.signing import SigningKey

KEY = SigningKey.generate().verifying_key()


def test_a_folder_is_not_far() -> None:
    assert not is_far("/srv/registry")
    assert not is_far("registry")
    assert is_far("s3://bucket/registry")


def test_each_registry_has_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "key.pem").write_bytes(KEY.pem())
    urls = ("memory://a", "memory://b", "memory://a")
    folders = [far_registry(url, None, tmp_path / "key.pem").folder for url in urls]
    assert folders[0] == folders[2] != folders[1]
    assert folders[0].parent == tmp_path / "stepwell" / "registries"


def test_without_a_key_it_needs_one_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"trusted_key\.pem"):
        far_registry("memory://empty", tmp_path / "cache")
    files = fsspec.filesystem("memory")
    files.pipe_file("/keyed/trusted_key.pem", KEY.pem())
    mirror = far_registry("memory://keyed", tmp_path / "cache")
    assert mirror.key.pem() == KEY.pem()
