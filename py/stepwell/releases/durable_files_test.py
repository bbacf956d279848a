import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stepwell.releases.durable_files import make_folder, write_durably
from stepwell.releases.signing import SigningKey
from stepwell.releases.vetoes import Veto, Vetoes

fsync = os.fsync


def test_of_two_writers_at_once_neither_breaks_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page"

    def write_between(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        write_durably(path, b"second")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", write_between)
    write_durably(path, b"first")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page"
    write_durably(path, b"before")

    def full(descriptor: int) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_durably(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def _make_key(root: Path) -> None:
    SigningKey.load_or_create(root / "new" / "keys" / "signing.key")


def _write_veto(root: Path) -> None:
    Vetoes(root).write(Veto(serial=1, reason="psi", time_seconds=1))


def _make_folders(root: Path) -> None:
    make_folder(root / "one" / "another")


@pytest.mark.parametrize("make", [_make_key, _write_veto, _make_folders])
def test_every_name_that_is_made_is_synced_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    synced: dict[Path, set[str]] = {}

    def note(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_dir():
            synced[path] = set(os.listdir(path))

    monkeypatch.setattr(os, "fsync", note)
    make(tmp_path)
    made = list(tmp_path.rglob("*"))
    assert made
    for path in made:
        assert path.name in synced[path.parent]
