"""Runs made of plain lists, for tests of what reads a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from load_run import LoadRun


def run_of(
    latency_ms: Sequence[float],
    *,
    due_s: Sequence[float] | None = None,
    tier: Sequence[int] | int = 1,
    status: Sequence[int] | int = 0,
    reasons: Sequence[int] | int = 0,
    lane: Sequence[int] | int = 0,
    lane_names: tuple[str, ...] = ("all",),
    void: str = "",
) -> LoadRun:
    """Returns a run of calls 10 ms apart, each with the latency given."""
    size = len(latency_ms)
    due = np.arange(size, dtype=np.float64) / 100 if due_s is None else np.array(due_s)

    def column(
        values: Sequence[int] | int, kind: type[np.integer[Any]]
    ) -> npt.NDArray[Any]:
        return np.broadcast_to(np.array(values, kind), (size,)).copy()

    statuses = column(status, np.int16)
    return LoadRun(
        due_s=due,
        sent_s=due.copy(),
        done_s=due + np.array(latency_ms) / 1e3,
        lane=column(lane, np.int16),
        status=statuses,
        tier=np.where(statuses == 0, column(tier, np.int8), 0).astype(np.int8),
        reasons=column(reasons, np.uint32),
        server_us=column(900, np.int32),
        queue_us=column(100, np.int32),
        pushback_ms=column(-1, np.int32),
        num_items=column(10, np.int16),
        attempts=column(1, np.int16),
        lane_names=lane_names,
        generator_cpu_share=0.1,
        seconds=1.0,
        started_s=0.0,
        void=void,
    )
