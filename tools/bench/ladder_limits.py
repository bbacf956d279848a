"""A2: what it costs to refuse a request that breaks a limit of the input."""

import time
from collections.abc import Sequence
from statistics import median
from typing import Any, cast

import grpc
import psutil

from bench.report import BenchRow, at_most
from limit_breaches import Breach, breaches

MAX_MS, MAX_MIB = 1.0, 1.0
NUM_CALLS = 60
_MIB = 2**20
_REFUSED = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
_SMALL_BYTES = 1_024


def limit_rows(address: str, pid: int) -> list[BenchRow]:
    """Returns what the caller waits for a refusal, and what it leaves in memory.

    Every limit is broken by one and by far, one call after the other on an idle
    server; about 5 s.

    Args:
        address: of the server.
        pid: of its first process.
    """
    broken = breaches()
    with grpc.insecure_channel(
        address, [("grpc.max_send_message_length", -1)]
    ) as channel:
        _seen_ms(channel, broken, 1)
        before = _resident_bytes(pid)
        seen_ms = _seen_ms(channel, broken, NUM_CALLS)
        grown = _resident_bytes(pid) - before
    return rows_of(broken, seen_ms, grown)


def rows_of(
    broken: Sequence[Breach], seen_ms: Sequence[float], grown_bytes: int
) -> list[BenchRow]:
    """Returns the rows: the slowest of few bytes, of many, and the memory.

    Args:
        broken: each limit that was broken, and how.
        seen_ms: the median time of each.
        grown_bytes: of the server, after all of them.
    """
    rows = []
    for size, is_small in (("up to", True), ("over", False)):
        timed = [
            (ms, breach.what)
            for ms, breach in zip(seen_ms, broken, strict=True)
            if (len(breach.raw) <= _SMALL_BYTES) is is_small
        ]
        slowest_ms, what = max(timed)
        work = (
            f"A2, {len(timed)} broken limits in {size} 1 KiB: refused, the slowest "
            f"is {what}"
        )
        rows.append(at_most(work, slowest_ms, "ms p50", MAX_MS))
    refused = f"A2, memory of the server after {len(broken) * NUM_CALLS:,} refusals"
    return [*rows, at_most(refused, max(grown_bytes, 0) / _MIB, "MiB", MAX_MIB)]


def _seen_ms(
    channel: grpc.Channel, broken: Sequence[Breach], num_calls: int
) -> list[float]:
    # All in turn: what disturbs the machine for a moment then disturbs each but once.
    rounds = [
        [_refused_ms(channel, breach) for breach in broken] for _ in range(num_calls)
    ]
    return [median(seen) for seen in zip(*rounds, strict=True)]


def _refused_ms(channel: grpc.Channel, breach: Breach) -> float:
    untyped: Any = channel  # its types ask for serializers; bytes need none
    call = untyped.unary_unary(breach.path)
    started = time.perf_counter()
    try:
        call(breach.raw, timeout=20)
    except grpc.RpcError as error:
        seen_ms = (time.perf_counter() - started) * 1e3
        if cast(Any, error).code() not in _REFUSED:
            raise
        return seen_ms
    raise RuntimeError(f"{breach.what} was not refused")


def _resident_bytes(pid: int) -> int:
    process = psutil.Process(pid)
    family = (process, *process.children(recursive=True))
    return sum(int(one.memory_info().rss) for one in family)
