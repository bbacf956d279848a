"""Benchmark `serving`: what a request costs, beside the stack a team would glue up.

Two parts: every tier on the demo's release, one request at a time (serving_demo), and
the work of a larger site in an open loop beside its peers in the same run
(serving_open).
"""

from dataclasses import asdict
from typing import Any

from bench.serving_demo import demo_rows
from bench.serving_open import open_rows
from project_state import DEFAULT_DATA_SET, ProjectState, project_root

Row = dict[str, Any]


def measure(quick: bool = False, state: ProjectState | None = None) -> list[Row]:
    """Returns the rows of the benchmark; about 10 minutes, quick 3.

    Args:
        quick: smaller and fewer: the rows then show that it works, no more.
        state: whose newest release is served; default: the demo's own data set. The
            generated release is kept beside it.
    Raises:
        NotFoundError: there is no release; names the command that makes one.
    """
    state = state or ProjectState(project_root(), DEFAULT_DATA_SET)
    # First what may be missing: nobody waits minutes to be told so.
    rows = [*demo_rows(state, quick), *open_rows(state.root, quick)]
    return [asdict(row) for row in rows]
