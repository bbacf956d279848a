"""The serving benchmark, quickly, on a small release: two servers, a restart."""

import os

from bench import serving
from bench.report import BenchRow
from integration.small_project import SmallProject
from project_state import running_server


def test_measures_every_tier_beside_the_peer_and_leaves_no_trace(
    project: SmallProject,
) -> None:
    cores = os.sched_getaffinity(0)
    before = sorted(project.state.folder.rglob("*"))
    rows = [BenchRow(**row) for row in serving.measure(True, project.state)]
    assert [row.work.split(",")[0] for row in rows] == [
        "FULL",
        "the same",
        *["FULL"] * 2,
        *["POPULAR", "REDUCED"],
        *["REDUCED", "REDUCED", "POPULAR", "POPULAR"],
        "4 callers that wait for their answers",
        "SIGKILL",
    ]
    assert all(row.ours > 0 for row in rows)
    assert [bool(row.bar) for row in rows].count(True) == 6
    beside_peer = [row for row in rows if serving.PEER in row.peers]
    assert len(beside_peer) == 4
    assert all(row.peers[serving.PEER] > 0 for row in beside_peer)
    assert "errors 0, peer's 0" in rows[-2].work
    assert os.sched_getaffinity(0) == cores
    assert sorted(project.state.folder.rglob("*")) == before
    assert running_server(project.state.root) is None
