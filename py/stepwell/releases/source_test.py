from collections.abc import Callable
from pathlib import Path

import pytest
import structlog.testing

from stepwell.base.errors import DataLossError
from stepwell.releases.aliases import ALIASES_NAME, AliasFile, first_page
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import (
    TRUSTED_KEY_NAME,
    DirectorySource,
    ReleaseDirectory,
)
from stepwell.releases.vetoes import Veto, Vetoes

KEY = SigningKey.generate()


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    others = ("v000003.tmp", "notes", "v000000", "v0000002", "v000002\n")
    for name in ("v000002", "v000001", *others):
        (tmp_path / name).mkdir()
    (tmp_path / "v000009").symlink_to(tmp_path / "v000001")
    (tmp_path / TRUSTED_KEY_NAME).write_bytes(KEY.verifying_key().pem())
    return tmp_path


def write(registry: Path, key: SigningKey = KEY) -> None:
    file = AliasFile(registry, key.verifying_key())
    file.update(lambda page: page, key, first_page(2))


def _flip(page: Path) -> None:
    content = bytearray(page.read_bytes())
    content[len(content) // 2] ^= 1
    page.write_bytes(content)


def _lock_away(page: Path) -> None:
    # Root may read whatever its mode says; nobody reads a folder.
    page.unlink()
    page.mkdir()


def test_tells_releases_parts_and_vetoes(registry: Path) -> None:
    source = DirectorySource(registry, KEY.verifying_key())
    state = source.state()
    assert [version.serial for version in state.versions] == [1, 2]
    assert (state.aliases, dict(state.vetoed)) == (None, {})
    write(registry)
    Vetoes(registry).write(Veto(serial=1, reason="psi", time_seconds=1))
    state = source.state()
    assert state.aliases is not None
    assert state.aliases.live == 2
    assert dict(state.vetoed) == {1: "psi"}


def test_trusts_the_registrys_own_key_where_no_other_is_given(registry: Path) -> None:
    write(registry)
    assert DirectorySource(registry).state().aliases is not None
    stranger = SigningKey.generate().verifying_key()
    with pytest.raises(DataLossError, match="signature"):
        DirectorySource(registry, stranger).state()


@pytest.mark.parametrize("damage", [_flip, _lock_away], ids=["a bit", "no access"])
def test_a_page_that_cannot_be_read_is_not_no_page(
    registry: Path, damage: Callable[[Path], None]
) -> None:
    write(registry)
    page = registry / ALIASES_NAME
    good = page.read_bytes()
    damage(page)
    source = DirectorySource(registry)
    for _ in range(2):
        with pytest.raises((DataLossError, OSError)):
            source.state()
    if page.is_dir():
        page.rmdir()
    page.write_bytes(good)
    aliases = source.state().aliases
    assert aliases is not None
    assert aliases.live == 2


def test_a_damaged_page_leaves_the_last_good_one_and_is_said_once(
    registry: Path,
) -> None:
    write(registry)
    source = DirectorySource(registry)
    good = source.state().aliases
    assert good is not None
    (registry / ALIASES_NAME).write_bytes(b"{")
    with structlog.testing.capture_logs() as lines:
        assert source.state().aliases == good
        assert source.state().aliases == good
    assert [line["event"] for line in lines] == ["the aliases cannot be used"]
    (registry / ALIASES_NAME).unlink()
    assert source.state().aliases == good


def test_a_registry_that_is_missing_is_empty(tmp_path: Path) -> None:
    state = DirectorySource(tmp_path / "none").state()
    assert (state.versions, state.aliases, dict(state.vetoed)) == ((), None, {})


def test_one_directory_has_one_release_and_no_parts(registry: Path) -> None:
    write(registry)
    state = ReleaseDirectory(registry / "v000001").state()
    assert [version.serial for version in state.versions] == [1]
    assert state.aliases is None
