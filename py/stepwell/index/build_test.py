import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    UnavailableError,
)
from stepwell.index.ann_index import FlatIndex, HnswIndex, HnswOptions
from stepwell.index.build import CheckpointOptions, IndexBuild

N, D, CHUNK = 1_000, 12, 100
OPTIONS = HnswOptions(m=6, ef_construction=40)
AT_EACH_CHUNK = CheckpointOptions(0.0, CHUNK, 0.0)
NEVER = CheckpointOptions(1e9, CHUNK)
Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def vectors() -> Floats:
    return _vectors()


def _vectors() -> Floats:
    return np.random.default_rng(9).normal(size=(N, D)).astype(np.float32)


class _Stop(Exception):
    """Stands for whatever ends a process."""


def _cut_off_at(
    path: Path, vectors: Floats, items: int, options: HnswOptions = OPTIONS
) -> None:
    def progress(done: int, _total: int) -> None:
        if done == items:
            raise _Stop

    with pytest.raises(_Stop):
        IndexBuild(path, options, AT_EACH_CHUNK).run(vectors, progress=progress)


def test_builds_a_whole_index_and_leaves_nothing_else(
    vectors: Floats, tmp_path: Path
) -> None:
    ids = np.arange(N) * 3 + 5
    index = IndexBuild(tmp_path / "index", OPTIONS, NEVER).run(vectors, ids)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert index.stats().num_items == N
    assert index.stats().mapped
    truth = FlatIndex.build(vectors, ids).search(vectors[:50], 10)
    found = HnswIndex.open(tmp_path / "index").search(vectors[:50], 10, ef_search=N)
    assert found.ids.tolist() == truth.ids.tolist()


def test_a_build_by_chunks_is_the_build_in_one_piece(
    vectors: Floats, tmp_path: Path
) -> None:
    IndexBuild(tmp_path / "chunks", OPTIONS, NEVER).run(vectors)
    HnswIndex.build(vectors, np.arange(N), OPTIONS).save(tmp_path / "whole")
    opened = [HnswIndex.open(tmp_path / name) for name in ("chunks", "whole")]
    chunks, whole = (index.search(vectors, 10, ef_search=20) for index in opened)
    assert chunks.ids.tolist() == whole.ids.tolist()


def test_progress_begins_at_nothing_and_ends_at_all(
    vectors: Floats, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    checkpoints = CheckpointOptions(chunk_items=300)
    IndexBuild(tmp_path / "index", OPTIONS, checkpoints).run(
        vectors, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(done, N) for done in (0, 300, 600, 900, 1_000)]


_KILLED = """
import os, signal, sys
from pathlib import Path
from stepwell.index.build import IndexBuild
from stepwell.index import build_test as test

def progress(done, total):
    if done == 600:
        os.kill(os.getpid(), signal.SIGKILL)

options = test.HnswOptions(m=6, ef_construction=40, codes=sys.argv[2])
IndexBuild(Path(sys.argv[1]), options, test.AT_EACH_CHUNK).run(
    test._vectors(), progress=progress
)
"""


@pytest.mark.parametrize("codes", ["float32", "bfloat16", "int8"])
def test_a_build_killed_and_resumed_has_the_bytes_of_one_that_ran_through(
    vectors: Floats, tmp_path: Path, codes: str
) -> None:
    options = HnswOptions(m=6, ef_construction=40, codes=codes)  # type: ignore[arg-type]
    IndexBuild(tmp_path / "through", options, NEVER).run(vectors)
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path / "killed"), codes],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    partial = HnswIndex.open(tmp_path / "killed.partial")
    # The latest chunk was not yet written: its checkpoint comes before the next one.
    assert partial.stats().num_items == 500
    first: list[int] = []
    build = IndexBuild(tmp_path / "killed", options, NEVER)
    assert build.is_cut_off
    build.run(vectors, progress=lambda done, _: first.append(done))
    assert first[0] == 500
    through, resumed = ((tmp_path / n).read_bytes() for n in ("through", "killed"))
    assert resumed == through
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "through"]


def test_the_int8_limit_is_that_of_all_vectors(vectors: Floats, tmp_path: Path) -> None:
    grown = vectors.copy()
    grown[CHUNK:] *= 50
    options = HnswOptions("inner_product", codes="int8", keep_vectors=False)
    index = IndexBuild(tmp_path / "index", options, NEVER).run(grown)
    far = index.vectors(np.arange(CHUNK, N))
    np.testing.assert_allclose(far, grown[CHUNK:], atol=np.abs(grown).max() / 250)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (HnswOptions(m=7, ef_construction=40), "m was 6 and is now 7"),
        (HnswOptions(m=6, ef_construction=41), "ef_construction was 40 and is now 41"),
        (HnswOptions("l2", 6, 40), "metric was 'cosine' and is now 'l2'"),
        (HnswOptions(m=6, ef_construction=40, seed=1), "seed was 0 and is now 1"),
        (
            HnswOptions(m=6, ef_construction=40, codes="float32"),
            "codes was 'int8' and is now 'float32'",
        ),
    ],
)
def test_other_options_than_those_cut_off_are_refused_by_name(
    vectors: Floats, tmp_path: Path, options: HnswOptions, message: str
) -> None:
    path = tmp_path / "index"
    _cut_off_at(path, vectors, 300)
    with pytest.raises(FailedPreconditionError, match=message):
        IndexBuild(path, options, NEVER).run(vectors)
    assert IndexBuild(path, OPTIONS, NEVER).is_cut_off


def test_other_data_than_that_cut_off_is_refused(
    vectors: Floats, tmp_path: Path
) -> None:
    path = tmp_path / "index"
    _cut_off_at(path, vectors, 300)
    changed = vectors.copy()
    changed[N - 1, 0] += 1
    checkpoints = CheckpointOptions(chunk_items=CHUNK)
    with pytest.raises(FailedPreconditionError, match="data_sha256 was"):
        IndexBuild(path, OPTIONS, checkpoints).run(changed)
    with pytest.raises(FailedPreconditionError, match="data_sha256 was"):
        IndexBuild(path, OPTIONS, checkpoints).run(vectors, np.arange(N)[::-1].copy())
    with pytest.raises(FailedPreconditionError, match="num_items was 1000 and is now"):
        IndexBuild(path, OPTIONS, checkpoints).run(vectors[:-1])


def test_beginning_anew_forgets_what_was_cut_off(
    vectors: Floats, tmp_path: Path
) -> None:
    path = tmp_path / "index"
    _cut_off_at(path, vectors, 300)
    (tmp_path / "index.partial.tmp.x1y2z3").write_bytes(b"killed while writing")
    seen: list[int] = []
    IndexBuild(path, HnswOptions(m=8), NEVER).run(
        vectors, progress=lambda done, _: seen.append(done), resume=False
    )
    assert seen[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_damaged_checkpoint_is_refused(vectors: Floats, tmp_path: Path) -> None:
    path = tmp_path / "index"
    _cut_off_at(path, vectors, 300)
    partial = tmp_path / "index.partial"
    damaged = bytearray(partial.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    partial.write_bytes(damaged)
    with pytest.raises(DataLossError, match=r"index\.partial: .*--no-resume"):
        IndexBuild(path, OPTIONS, NEVER).run(vectors)
    (tmp_path / "index.partial.json").write_text('{"m": 6}')
    with pytest.raises(DataLossError, match="not the record of a build"):
        IndexBuild(path, OPTIONS, NEVER).run(vectors)


def test_checkpoints_come_when_their_time_has_come(
    vectors: Floats, tmp_path: Path
) -> None:
    clock, written = FakeClock(), []
    partial = tmp_path / "index.partial"

    def progress(done: int, _total: int) -> None:
        held = HnswIndex.open(partial).stats().num_items if partial.exists() else 0
        written.append((done, held))
        clock.advance_us(10_000_000)

    checkpoints = CheckpointOptions(interval_seconds=30.0, chunk_items=CHUNK)
    IndexBuild(tmp_path / "index", OPTIONS, checkpoints, clock).run(
        vectors, progress=progress
    )
    held = [0, 0, 0, 200, 200, 200, 500, 500, 500, 800, 800]
    assert written == list(zip(range(0, N + 1, CHUNK), held, strict=True))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.arange(N - 1), "ids has shape"),
        (np.append(np.arange(N - 1), 7), "ids has 7 twice"),
        (np.append(np.arange(N - 1), -7), "in the rows from 900 on: ids has -7 at 99"),
    ],
)
def test_bad_ids_are_refused(
    vectors: Floats, tmp_path: Path, ids: npt.NDArray[np.int64], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        IndexBuild(tmp_path / "index", OPTIONS, NEVER).run(vectors, ids)


def test_a_bad_vector_is_named_by_its_rows(vectors: Floats, tmp_path: Path) -> None:
    bad = vectors.copy()
    bad[555, 3] = np.nan
    with pytest.raises(InvalidArgumentError, match=r"rows from 500 on.*row 55 is not"):
        IndexBuild(tmp_path / "index", OPTIONS, NEVER).run(bad)


def test_bad_options_leave_nothing_behind(vectors: Floats, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="M is 1"):
        IndexBuild(tmp_path / "index", HnswOptions(m=1)).run(vectors)
    assert not list(tmp_path.iterdir())


def test_vectors_that_were_corrected_build_where_bad_ones_did_not(
    vectors: Floats, tmp_path: Path
) -> None:
    bad = vectors.copy()
    bad[N - 1, 0] = np.nan
    build = IndexBuild(tmp_path / "index", OPTIONS, NEVER)
    with pytest.raises(InvalidArgumentError):
        build.run(bad)
    assert not build.is_cut_off
    assert build.run(vectors).stats().num_items == N


def test_a_path_that_cannot_be_written_is_refused_before_the_work(
    vectors: Floats, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgumentError, match="is a directory"):
        IndexBuild(tmp_path, OPTIONS).run(vectors)
    with pytest.raises(UnavailableError, match="cannot write"):
        IndexBuild(tmp_path / "none" / "index", OPTIONS).run(vectors)


def test_no_vectors_make_an_empty_index(tmp_path: Path) -> None:
    index = IndexBuild(tmp_path / "index").run(np.empty((0, D), np.float32))
    assert (index.stats().num_items, index.stats().dim) == (0, D)
