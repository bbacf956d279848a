"""Reads the answers of a run once it is over, so that reading takes no time in it."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from call_loop import Outcomes, status_of
from lanes import RANK, RECOMMEND, Lane
from load_run import LoadRun, void_reason
from stepwell_pb.v1 import recommend_pb2

_PREFIX_BYTES = 5
_INTERNAL = 13

_ANSWERS: dict[str, Callable[[bytes], Any]] = {
    RECOMMEND: recommend_pb2.RecommendResponse.FromString,
    RANK: recommend_pb2.RankResponse.FromString,
}


def load_run_of(
    outcomes: Outcomes,
    due_s: Sequence[float],
    lane: Sequence[int],
    lanes: Sequence[Lane],
    started_s: float,
) -> LoadRun:
    """Returns the run with what the answers say.

    Args:
        outcomes: of each call.
        due_s, lane: the schedule.
        lanes: by number.
        started_s: time.perf_counter() of the start.
    """
    read_status = cache(status_of)
    size = len(due_s)
    status, pushback = np.zeros(size, np.int16), np.full(size, -1, np.int32)
    rows = np.zeros((5, size), np.int64)
    readers = [_ANSWERS.get(one.method) for one in lanes]
    for call in range(size):
        code: int = outcomes.local_status[call]
        if code < 0:
            code, asked_ms = read_status(outcomes.blocks[call])
            if asked_ms is not None:
                pushback[call] = asked_ms
        read = readers[lane[call]]
        if code == 0 and read is not None:
            try:
                rows[:, call] = _served(read(outcomes.bodies[call][_PREFIX_BYTES:]))
            except ValueError:  # an answer that is none
                code = _INTERNAL
        status[call] = code
    due, sent = np.array(due_s), np.array(outcomes.sent_s)
    cpu_share = outcomes.cpu_s / max(outcomes.seconds, 1e-9)
    tier, reasons, server_us, queue_us, num_items = rows
    return LoadRun(
        due_s=due,
        sent_s=sent,
        done_s=np.array(outcomes.done_s),
        lane=np.array(lane, np.int16),
        status=status,
        tier=tier.astype(np.int8),
        reasons=reasons.astype(np.uint32),
        server_us=server_us.astype(np.int32),
        queue_us=queue_us.astype(np.int32),
        pushback_ms=pushback,
        num_items=num_items.astype(np.int16),
        attempts=np.array(outcomes.attempts, np.int16),
        lane_names=tuple(one.name for one in lanes),
        generator_cpu_share=cpu_share,
        seconds=outcomes.seconds,
        started_s=started_s,
        void=void_reason((sent - due) * 1e3, cpu_share),
    )


def _served(answer: Any) -> tuple[int, int, int, int, int]:
    served = answer.served_by
    bits = 0
    for reason in served.reasons:
        bits |= 1 << reason
    return served.tier, bits, served.server_us, served.queue_us, len(answer.items)
