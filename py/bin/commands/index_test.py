import argparse
import json
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import pytest

from commands import index
from stepwell.index.ann_index import FlatIndex, HnswIndex
from stepwell.index.build import CheckpointOptions, IndexBuild

N, D = 300, 8


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.npy"
    np.save(path, np.random.default_rng(2).normal(size=(N, D)).astype(np.float32))
    return path


def run(*words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    index.add_arguments(parser)
    return index.run(parser.parse_args([str(word) for word in words]))


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def test_builds_a_file_with_the_options_given(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "index"
    words = "--M 5 --ef-construction 30 --metric l2 --codes bfloat16 --threads 1"
    assert run("build", vectors, "-o", out, "--json", *words.split()) == 0
    facts = said(capsys)
    stats = HnswIndex.open(out).stats()
    assert (stats.m, stats.ef_construction, stats.metric) == (5, 30, "l2")
    assert (stats.codes, stats.keep_vectors) == ("bfloat16", True)
    assert (facts["num_items"], facts["kind"], facts["file"]) == (N, "graph", str(out))


def test_ids_come_from_their_own_file(vectors: Path, tmp_path: Path) -> None:
    ids = np.arange(N)[:, None] * 7
    np.save(tmp_path / "ids.npy", ids)
    out = tmp_path / "index"
    assert run("build", vectors, "-o", out, "--ids", tmp_path / "ids.npy") == 0
    assert HnswIndex.open(out).ids().tolist() == ids[:, 0].tolist()


def test_goes_on_with_a_build_that_was_cut_off(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "index"
    _cut_off(vectors, out)
    assert run("build", vectors, "-o", out, "--threads", "1", "--M", "9") == 1
    assert "m was 16 and is now 9" in capsys.readouterr().err
    assert run("build", vectors, "-o", out, "--threads", "1") == 0
    assert "goes on with the build that was cut off" in capsys.readouterr().out
    assert HnswIndex.open(out).stats().num_items == N
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "vectors.npy"]


def test_no_resume_begins_anew(vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "index"
    _cut_off(vectors, out)
    assert run("build", vectors, "-o", out, "--M", "9", "--no-resume") == 0
    assert HnswIndex.open(out).stats().m == 9


def _cut_off(vectors: Path, out: Path) -> None:
    def progress(done: int, _total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        IndexBuild(out, checkpoints=CheckpointOptions()).run(
            np.load(vectors), progress=progress
        )


@pytest.mark.parametrize("kind", ["graph", "exact"])
def test_info_and_verify_know_both_kinds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    made = (HnswIndex if kind == "graph" else FlatIndex).build(
        np.eye(D, dtype=np.float32), np.arange(D)
    )
    path = tmp_path / "index"
    made.save(path)
    assert run("info", path, "--json") == 0
    facts = said(capsys)
    assert (facts["kind"], facts["num_items"], facts["dim"]) == (kind, D, D)
    assert run("verify", path, "--json") == 0
    facts = said(capsys)
    assert (facts["whole"], facts["bytes"]) == (True, path.stat().st_size)


def test_verify_says_what_is_wrong(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "index"
    run("build", vectors, "-o", out)
    damaged = bytearray(out.read_bytes())
    damaged[-100] ^= 4
    out.write_bytes(damaged)
    assert run("verify", out) == 1
    assert capsys.readouterr().err.startswith(f"index verify: {out}")
    assert run("verify", tmp_path / "none") == 1


def test_imports_a_file_of_hnswlib(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.load(vectors)
    peer = hnswlib.Index("l2", D)
    peer.init_index(N, M=7, ef_construction=60)
    peer.add_items(rows, np.arange(N) + 10)
    peer.mark_deleted(10)
    peer.save_index(str(tmp_path / "peer.bin"))
    words = ("import-hnswlib", tmp_path / "peer.bin", "--metric", "l2")
    assert run(*words, "--dim", str(D + 1), "-o", tmp_path / "index") == 1
    assert "peer.bin" in capsys.readouterr().err
    assert run(*words, "--dim", str(D), "-o", tmp_path / "index", "--json") == 0
    facts = said(capsys)
    assert (facts["num_items"], facts["m"], facts["metric"]) == (N - 1, 7, "l2")
    found = HnswIndex.open(tmp_path / "index").search(rows, 1, ef_search=100)
    assert found.ids[1:, 0].tolist() == (np.arange(1, N) + 10).tolist()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--M", "1"), "M is 1"),
        (("--threads", "65"), "num_threads is 65"),
        (("--ids", "vectors.npy"), "must hold int64"),
    ],
)
def test_a_bad_argument_is_one_line(
    vectors: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("build", vectors, "-o", tmp_path / "index", *words) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.npy"]
