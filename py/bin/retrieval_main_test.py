"""retrieval_main as a process: start, answer, drain, refusal."""

import json
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen, run
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest

from stepwell.index.ann_index import HnswIndex, HnswOptions
from stepwell_pb.v1 import retrieval_pb2, retrieval_pb2_grpc

if TYPE_CHECKING:
    # The build takes dependencies from imports: the child is started from its file and
    # imports by this process's path.
    import retrieval_main  # noqa: F401

N, D = 300, 8
HASH = bytes(range(32))
VECTORS = np.random.default_rng(5).normal(size=(N, D)).astype(np.float32)
Stub = retrieval_pb2_grpc.RetrievalServiceStub
MAIN = Path(__file__).with_name("retrieval_main.py")


def _index() -> HnswIndex:
    return HnswIndex.build(VECTORS, np.arange(N), HnswOptions(space_hash=HASH))


@contextmanager
def _serving(path: Path, *flags: str) -> Iterator[tuple[Stub, "Popen[str]", int]]:
    """A server of the file: its stub, its process, its metrics port."""
    command = [sys.executable, str(MAIN), f"--index={path}", *flags]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with Popen(command, stdout=PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        try:
            ports = json.loads(process.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{ports['port']}") as channel:
                yield Stub(channel), process, ports["metrics_port"]
        finally:
            process.kill()


def _found(stub: Stub) -> list[int]:
    """The one label nearest to vector 0."""
    query = retrieval_pb2.Vector(values=VECTORS[0].tolist())
    request = retrieval_pb2.SearchRequest(queries=[query], k=1)
    return list(stub.Search(request).results[0].labels)


def _drained(process: "Popen[str]") -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=30)


def test_main_prints_its_ports_serves_and_drains_on_sigterm(tmp_path: Path) -> None:
    path = tmp_path / "index.hnsw"
    _index().save(path)
    with _serving(path, f"--space_hash={HASH.hex()}") as (stub, process, metrics_port):
        assert _found(stub) == [0]
        url = f"http://127.0.0.1:{metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as page:
            text = page.read()
        assert b'grpc_method="Search"' in text
        assert b"stepwell_retrieval_index_items 300.0" in text
        assert _drained(process) == 0


@pytest.mark.parametrize(("flags", "kept"), [((), False), (("--save_on_drain",), True)])
def test_a_restart_keeps_what_was_written_only_when_it_was_saved(
    tmp_path: Path, flags: tuple[str, ...], kept: bool
) -> None:
    path = tmp_path / "index.hnsw"
    _index().save(path)
    before = path.stat().st_mtime_ns
    with _serving(path, *flags) as (stub, process, _):
        assert _drained(process) == 0
    assert path.stat().st_mtime_ns == before  # nothing was written, nothing is saved
    with _serving(path, *flags) as (stub, process, _):
        stub.Delete(retrieval_pb2.DeleteRequest(labels=[0]))
        vector = retrieval_pb2.Vector(values=VECTORS[0].tolist())
        stub.Upsert(retrieval_pb2.UpsertRequest(labels=[900], vectors=[vector]))
        assert _found(stub) == [900]
        assert _drained(process) == 0
    with _serving(path, *flags) as (stub, process, _):
        assert _found(stub) == ([900] if kept else [0])
    assert [file.name for file in tmp_path.iterdir()] == ["index.hnsw"]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--shard=1"], "give both of --shard and --num_shards"),
        (["--shard=3", "--num_shards=3"], "shard is 3, must be in [0, 2]"),
        (
            ["--shard=0", "--num_shards=2", "--partition=range"],
            "num_labels is 0, must be in",
        ),
        (["--shard=0", "--num_shards=2"], "which belongs to shard 1; this is shard 0"),
        (["--space_hash=abc"], "non-hexadecimal"),
        ([f"--space_hash={bytes(32).hex()}"], "another embedding space"),
    ],
)
def test_main_refuses_a_wrong_flag_with_the_reason(
    tmp_path: Path, flags: list[str], reason: str
) -> None:
    _index().save(tmp_path / "index.hnsw")
    done = _refusal(tmp_path / "index.hnsw", *flags)
    assert done.returncode == 1
    assert reason in done.stderr


def test_main_refuses_a_damaged_file_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "index.hnsw"
    _index().save(path)
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    path.write_bytes(damaged)
    done = _refusal(path)
    assert done.returncode == 1
    assert f"retrieval_main: {path}: " in done.stderr


def _refusal(path: Path, *flags: str) -> "CompletedProcess[str]":
    """A server that does not start."""
    return run(
        [sys.executable, str(MAIN), f"--index={path}", *flags],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
