"""retrieval_main as a process: start, answer, drain, refusal."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np

from stepwell.index.ann_index import HnswIndex, HnswOptions
from stepwell_pb.v1 import retrieval_pb2, retrieval_pb2_grpc

if TYPE_CHECKING:
    # The build takes dependencies from imports: the child is started from its file and
    # imports by this process's path.
    import retrieval_main  # noqa: F401

N, D = 300, 8
HASH = bytes(range(32))
VECTORS = np.random.default_rng(5).normal(size=(N, D)).astype(np.float32)
MAIN = Path(__file__).with_name("retrieval_main.py")


def _index() -> HnswIndex:
    return HnswIndex.build(VECTORS, np.arange(N), HnswOptions(space_hash=HASH))


def test_main_prints_its_ports_serves_and_drains_on_sigterm(tmp_path: Path) -> None:
    _index().save(tmp_path / "index.hnsw")
    command = [sys.executable, str(MAIN), f"--index={tmp_path / 'index.hnsw'}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [*command, f"--space_hash={HASH.hex()}"],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{ports['port']}") as channel:
            stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
            query = retrieval_pb2.Vector(values=VECTORS[0].tolist())
            request = retrieval_pb2.SearchRequest(queries=[query], k=1)
            assert list(stub.Search(request).results[0].labels) == [0]
        url = f"http://127.0.0.1:{ports['metrics_port']}/metrics"
        with urllib.request.urlopen(url, timeout=5) as page:
            assert b'grpc_method="Search"' in page.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_main_refuses_a_damaged_file_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "index.hnsw"
    _index().save(path)
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    path.write_bytes(damaged)
    done = subprocess.run(
        [sys.executable, str(MAIN), f"--index={path}"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert f"retrieval_main: {path}: wrong checksum of section" in done.stderr
