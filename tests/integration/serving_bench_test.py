"""The serving benchmark's sequential part, quickly, on a small release, with a kill."""

import os

from bench.serving_demo import demo_rows
from integration.small_project import SmallProject
from project_state import running_server


def test_measures_every_tier_and_leaves_no_trace(project: SmallProject) -> None:
    cores = os.sched_getaffinity(0)
    before = sorted(project.state.folder.rglob("*"))
    rows = demo_rows(project.state, quick=True)
    assert all(row.ours > 0 for row in rows)
    assert [bool(row.bar) for row in rows].count(True) == 6
    assert rows[-1].work.startswith("SIGKILL")
    assert os.sched_getaffinity(0) == cores
    assert sorted(project.state.folder.rglob("*")) == before
    assert running_server(project.state.root) is None
