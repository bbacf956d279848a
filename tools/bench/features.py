"""Benchmark `features`: fresh or safe, and what it costs, on the demo's release.

Parts: the online read inside a ranker under load (features_read) and by itself
(features_read_alone), events made durable (features_log), an event's way to the next
answer (features_visible), training rows of all of the data (features_rows), logged
requests computed again (features_replay), and what a user is served whose state is
stale or who is new (features_quality).
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from bench.features_feast import feast_program
from bench.features_log import log_rows
from bench.features_quality import quality_rows
from bench.features_read import QUICK, ReadAmounts, read_rows
from bench.features_read_alone import alone_rows
from bench.features_replay import NUM_REQUESTS, replay_rows
from bench.features_rows import NUM_CHECKED, training_rows
from bench.features_visible import visible_rows
from bench.report import BenchRow
from bench.retrieval_figures import say
from bench.serving_processes import ServedRelease
from project_state import DEFAULT_DATA_SET, ProjectState, project_root

Row = dict[str, Any]
Part = Callable[[], list[BenchRow]]

_VISIBLE_SECONDS, _QUICK_VISIBLE_SECONDS = 15.0, 3.0
_QUICK_USERS = 40


def measure(quick: bool = False, state: ProjectState | None = None) -> list[Row]:
    """Returns the rows of the benchmark; about 6 minutes, quick one.

    Args:
        quick: smaller and fewer: the rows then show that it works, no more.
        state: whose newest release is measured; default: the demo's own data set.
            Nothing of it is changed.
    Raises:
        NotFoundError: there is no release; names the command that makes one.
    """
    state = state or ProjectState(project_root(), DEFAULT_DATA_SET)
    rows: list[BenchRow] = []
    for name, part in parts_of(state, quick).items():
        say(f"features: {name}")
        rows += part()
    return [asdict(row) for row in rows]


def parts_of(state: ProjectState, quick: bool) -> dict[str, Part]:
    """Returns the parts by name, in the order in which they are measured."""
    served = ServedRelease.newest(state)
    amounts = QUICK if quick else ReadAmounts()
    seconds = _QUICK_VISIBLE_SECONDS if quick else _VISIBLE_SECONDS
    max_users = _QUICK_USERS if quick else None
    num_checked, num_replayed = (20, 200) if quick else (NUM_CHECKED, NUM_REQUESTS)
    num_reads, log_seconds = (200, 1.0) if quick else (5_000, 5.0)
    return {
        "online read": lambda: read_rows(served, amounts, feast_program(state.root)),
        "online read by itself": lambda: alone_rows(num_reads),
        "events made durable": lambda: log_rows(log_seconds),
        "event to visible feature": lambda: visible_rows(served, seconds),
        "training rows": lambda: training_rows(state.dataset, num_checked),
        "replay": lambda: replay_rows(served, num_replayed),
        "stale and new users": lambda: quality_rows(state, max_users),
    }
