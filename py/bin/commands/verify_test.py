"""verify, export and publish --from, on a registry of releases that build nothing."""

import argparse
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from commands import export, publish, verify
from stepwell.base.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
)
from stepwell.releases.loader import trusted_key
from stepwell.releases.manifest import ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.releases.verification import verify_release

METADATA = ReleaseMetadata(
    data_watermark_seconds=9,
    embedding_space_hash="a" * 64,
    feature_schema_hash="b" * 64,
)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """v000001 whole, v000002 a delta on it."""
    monkeypatch.setenv("STEPWELL_ROOT", str(tmp_path))
    trained = tmp_path / "trained"
    trained.mkdir()
    (trained / "index.hnsw").write_bytes(b"graph" * 10_000)
    publisher = Publisher(tmp_path / "registry", SigningKey.generate())
    publisher.publish(trained, METADATA)
    (trained / "names").write_bytes(b"milk")
    publisher.publish(trained, METADATA, base=1)
    return tmp_path / "registry"


def run(command: ModuleType, registry: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    arguments = ["--data", "generated", "--registry", str(registry), *words]
    return int(command.run(parser.parse_args(arguments)))


def verdicts(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    said: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return {verdict["release"]: verdict["problem"] for verdict in said}


def test_good_releases_are_good_and_a_damaged_one_is_named(
    registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(verify, registry, "--all", "--json") == 0
    assert verdicts(capsys) == {"v000001": "", "v000002": ""}
    content = bytearray((registry / "v000001" / "index.hnsw").read_bytes())
    content[7] ^= 1
    (registry / "v000001" / "index.hnsw").write_bytes(content)
    # The delta stands on it.
    assert run(verify, registry, "--all", "--json") == 1
    assert all("index.hnsw" in problem for problem in verdicts(capsys).values())


def test_what_is_whole_and_cannot_serve_is_found_by_a_deep_look(
    registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(verify, registry, "v000001", "--deep", "--json") == 1
    assert "cannot serve" in verdicts(capsys)["v000001"]


def test_words_that_do_not_fit_are_named(registry: Path, tmp_path: Path) -> None:
    for words in ((), ("v000001", "--all")):
        with pytest.raises(InvalidArgumentError, match="give IDs or --all"):
            run(verify, registry, *words)
    with pytest.raises(NotFoundError, match="no release"):
        run(verify, tmp_path / "none", "--all")


def test_a_release_that_went_out_is_published_elsewhere_and_signed_anew(
    registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "two.tar"
    assert run(export, registry, "v000002", str(archive), "--json") == 0
    assert json.loads(capsys.readouterr().out)["num_files"] == 2
    with pytest.raises(AlreadyExistsError, match=r"two\.tar"):
        run(export, registry, "v000002", str(archive))
    other = tmp_path / "other"
    key = ("--key", str(tmp_path / "other.key"), "--store", str(tmp_path / "store"))
    trust = ("--trusted-key", str(registry / "trusted_key.pem"))
    assert run(publish, other, "--from", str(archive), *key, *trust) == 0
    manifest = verify_release(other / "v000001", trusted_key(other))
    assert manifest.metadata == METADATA
    assert (other / "v000001" / "names").read_bytes() == b"milk"
    # Of another key than the one that is trusted here.
    assert run(publish, other, "--from", str(archive), *key) == 1
    assert "signature" in capsys.readouterr().err


def test_a_dry_export_writes_nothing(registry: Path, tmp_path: Path) -> None:
    archive = tmp_path / "one.tar"
    assert run(export, registry, "v000001", str(archive), "--dry-run") == 0
    assert not archive.exists()
