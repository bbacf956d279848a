"""What the ladder itself costs, and where the time of a FULL answer goes."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from bench.report import BenchRow, at_most
from bench.serving_processes import RankerUnderTest
from bench.serving_sequential import Sequential
from stepwell.base.clock import SystemClock
from stepwell.base.latency_histogram import LatencyHistogram
from stepwell.client.types import Tier
from stepwell.degradation.circuit_breaker import BreakerOptions, CircuitBreaker
from stepwell.degradation.controller import Arrival, LadderController, LadderOptions
from stepwell.degradation.tier import Tier as LadderTier
from stepwell.degradation.tier_policy import PolicySnapshot, TierCost, TierPolicy
from stepwell.front.admission_queue import AdmissionQueue

MAX_DECISION_US, MAX_ADD_US, MAX_OVERHEAD = 5.0, 0.5, 0.01
_COSTS = {
    LadderTier.FULL: TierCost(5_000, 3_000, is_live=False),
    LadderTier.REDUCED: TierCost(2_000, 1_000, is_live=False),
    LadderTier.POPULAR: TierCost(400, 200, is_live=False),
}
_CALLS, _REPEATS = 2_000, 9
_NUM_WARM_UP = 100
FRONT_THREAD = "front"
_WORKER, _LOOP = "the worker that runs the stages", "the event loop"
_FRONT, _REST = "the callers' front", "log, updater and what else there is"


def cost_rows(full_cpu_ms: float) -> list[BenchRow]:
    """Returns the rows on the ladder's own cost; about a second.

    Args:
        full_cpu_ms: processor time of the server a FULL answer.
    """
    clock = SystemClock()
    breakers = {
        name: CircuitBreaker(BreakerOptions(slow_call_us=50_000))
        for name in ("store", "index")
    }
    options = LadderOptions(latency_budget_us=20_000)
    ladder = LadderController(clock, _COSTS, breakers, options)
    ladder.attach(AdmissionQueue(1))
    now_us = clock.monotonic_us()
    arrival = Arrival(now_us, now_us + 60_000_000, 5, 500_000)
    histogram = LatencyHistogram()
    policy, snapshot = TierPolicy(), _snapshot()
    policy_us = cpu_us(lambda: policy.decide(snapshot))
    decide_us = cpu_us(lambda: ladder.decide(arrival, 1))
    record_us = cpu_us(lambda: ladder.record(LadderTier.FULL, 3_000, arrival))
    add_us = cpu_us(lambda: histogram.record(3_000))
    whole_us = decide_us + record_us
    return [
        at_most("policy decision", policy_us, "us", MAX_DECISION_US),
        at_most("one latency into its histogram", add_us, "us", MAX_ADD_US),
        at_most(
            f"the ladder at FULL: decision {decide_us:.1f}, outcome {record_us:.1f} us "
            f"of {full_cpu_ms:.2f} ms",
            whole_us / (full_cpu_ms * 1e3),
            "share",
            MAX_OVERHEAD,
        ),
    ]


def _snapshot() -> PolicySnapshot:
    """A request in a short queue: every tier's fit is computed."""
    return PolicySnapshot(
        age_us=2_000,
        budget_us=20_000,
        deadline_us=200_000,
        num_waiting=1,
        costs={**_COSTS, LadderTier.FULL: TierCost(19_000, 15_000)},
    )


def cpu_us(call: Callable[[], object]) -> float:
    """Returns the processor time of a call, the best of several rounds."""
    best = float("inf")
    for _ in range(_REPEATS):
        before = time.thread_time()
        for _ in range(_CALLS):
            call()
        best = min(best, time.thread_time() - before)
    return best / _CALLS * 1e6


def profile_rows(
    ranker: RankerUnderTest, users: Sequence[str], num_requests: int
) -> tuple[list[BenchRow], float]:
    """Returns where a FULL answer's time goes, and its processor time in ms.

    One request after the other on an idle server: nothing waits in a queue.
    """
    with closing(Sequential(ranker.address, users, Tier.FULL)) as lane:
        lane.warm_up(_NUM_WARM_UP)
        before = thread_seconds(ranker.pid)
        lane.ask(num_requests)
        used = used_seconds(before, thread_seconds(ranker.pid))
        samples = lane.samples
    cpu_ms = {role: each * 1e3 / num_requests for role, each in used.items()}
    total_ms = sum(cpu_ms.values())
    stages = {name: float(np.median(times)) for name, times in samples.stage_ms.items()}
    server_ms = float(np.median(samples.server_ms))
    rows = [
        BenchRow("FULL, as the caller sees it", _median(samples.seen_ms), "ms p50"),
        BenchRow("FULL, processor time of the server", total_ms, "ms mean"),
        *(
            BenchRow(f"of that: {role}, {each / total_ms:.0%}", each, "ms mean")
            for role, each in cpu_ms.items()
        ),
        BenchRow("FULL, time in the server", server_ms, "ms p50"),
    ]
    rows += [
        BenchRow(f"of that: stage {name}, {took / server_ms:.0%}", took, "ms p50")
        for name, took in sorted(stages.items(), key=lambda item: -item[1])
    ]
    return rows, total_ms


class ServerThread(NamedTuple):
    """One thread of a server; that of the process's own number is its main one."""

    process: int
    thread: int
    name: str = ""


def thread_seconds(pid: int) -> dict[ServerThread, float]:
    """Returns the processor time of every thread of a process and its children."""
    process = psutil.Process(pid)
    return {
        ServerThread(one.pid, thread.id, _name(one.pid, thread.id)): thread.user_time
        + thread.system_time
        for one in (process, *process.children(recursive=True))
        for thread in one.threads()
    }


def _name(process: int, thread: int) -> str:
    try:
        return Path(f"/proc/{process}/task/{thread}/comm").read_text().strip()
    except FileNotFoundError:  # it has ended since
        return ""


def used_seconds(
    before: Mapping[ServerThread, float], after: Mapping[ServerThread, float]
) -> dict[str, float]:
    """Returns the processor time spent between two looks, by what threads do.

    The callers' front has a thread of that name, the main thread of a process runs the
    event loop; of the others the busiest is the worker that runs the stages.
    """
    used = {key: after[key] - before.get(key, 0.0) for key in after}
    roles = dict.fromkeys((_WORKER, _FRONT, _LOOP, _REST), 0.0)
    for process in {key.process for key in used}:
        others = []
        for key, seconds in used.items():
            if key.process != process:
                continue
            if key.name == FRONT_THREAD:
                roles[_FRONT] += seconds
            elif key.thread == process:
                roles[_LOOP] += seconds
            else:
                others.append(seconds)
        roles[_WORKER] += max(others, default=0.0)
        roles[_REST] += sum(others) - max(others, default=0.0)
    return roles


def _median(samples: Sequence[float]) -> float:
    return float(np.median(samples))
