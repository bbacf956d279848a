"""`update`: what it says, and what it refuses."""

import argparse
import json
import shutil
from pathlib import Path

import pytest

from commands import update
from stepwell.releases.manifest import Manifest, ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.training.item_changes import ItemChanges
from stepwell.training.release_update import UpdatedRelease

KEY = SigningKey.generate()
METADATA = ReleaseMetadata(
    data_watermark_seconds=9,
    embedding_space_hash="a" * 64,
    feature_schema_hash="b" * 64,
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two releases, the second a delta, and what is asked of it."""
    monkeypatch.setenv("STEPWELL_ROOT", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    trained = tmp_path / "trained"
    trained.mkdir()
    publisher = Publisher(tmp_path / ".stepwell" / "generated" / "registry", KEY)
    for number in range(2):
        (trained / "index.hnsw").write_bytes(b"graph" * 100 + bytes([number]))
        publisher.publish(trained, METADATA, base=1 if number else None)
    (tmp_path / "items.csv").write_text("item_id,name\ntea,Green tea\n")
    return tmp_path


def run(root: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    update.add_arguments(parser)
    items = str(root / "items.csv")
    return update.run(parser.parse_args([items, "--data", "generated", *words]))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, str]]:
    """The content and the id of each release that an update was asked of."""
    seen: list[tuple[bytes, str]] = []

    def made(
        base: Path, manifest: Manifest, changes: ItemChanges, target: Path, now: int
    ) -> UpdatedRelease:
        assert now > 1_600_000_000
        seen.append(((base / "index.hnsw").read_bytes(), manifest.release_id))
        return UpdatedRelease(target, len(changes), 0, 10, 0.1)

    monkeypatch.setattr(update, "update_release", made)
    return seen


def test_updates_the_complete_form_of_the_live_release(
    root: Path, asked: list[tuple[bytes, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, "--json") == 0
    assert asked == [(b"graph" * 100 + b"\x01", "v000002")]
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(root / ".stepwell" / "generated" / "updated")
    assert told["num_new"] == 1
    assert run(root, "--base", "v000001", "--out", str(root / "out")) == 0
    assert asked[1] == (b"graph" * 100 + b"\x00", "v000001")
    said = capsys.readouterr().out
    assert f"next: ./stepwell publish {root / 'out'} --delta\n" in said


def test_a_registry_without_a_release_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(root / ".stepwell")
    assert run(root) == 1
    assert "publish" in capsys.readouterr().err


def test_a_damaged_release_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = root / ".stepwell" / "generated" / "registry"
    (registry / "v000001" / "index.hnsw").write_bytes(bytes(501))
    assert run(root) == 1
    assert "index.hnsw" in capsys.readouterr().err


def test_rows_that_were_refused_are_said(
    root: Path, asked: list[tuple[bytes, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "items.csv").write_text("item_id,name\ntea,Green tea\ntea,Black tea\n")
    assert run(root) == 0
    assert "item_id stands twice: 1" in capsys.readouterr().out
    assert len(asked) == 1
