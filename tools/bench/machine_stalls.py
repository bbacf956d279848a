"""For how long this machine keeps a thread waiting that nothing of ours disturbs."""

import os
import time

from bench.report import BenchRow

SECONDS_A_CORE = 6.0
_SMALLEST_MS = 0.1


def stall_rows(seconds: float = SECONDS_A_CORE) -> list[BenchRow]:
    """Returns one row a core: the longest stall of a thread that only reads the clock.

    A worker of a server waits as long, at any time, whatever the server is. Call it
    while nothing of the benchmark runs. Takes `seconds` a core; pins the calling thread
    meanwhile.
    """
    cores = os.sched_getaffinity(0)
    try:
        return [_row(core, seconds) for core in sorted(cores)]
    finally:
        os.sched_setaffinity(0, cores)


def _row(core: int, seconds: float) -> BenchRow:
    stalls_ms = _stalls_ms(core, seconds)
    return BenchRow(
        f"this machine with nothing of ours on it, core {core}: longest time that a "
        f"thread stood still (in all {sum(stalls_ms):.0f} ms of {seconds:g} s)",
        max(stalls_ms, default=0.0),
        "ms",
    )


def _stalls_ms(core: int, seconds: float) -> list[float]:
    """Returns the times between two looks at the clock that are no usual ones."""
    os.sched_setaffinity(0, {core})
    begin = last = time.perf_counter()
    found = []
    while last - begin < seconds:
        now = time.perf_counter()
        if (now - last) * 1e3 > _SMALLEST_MS:
            found.append((now - last) * 1e3)
        last = now
    return found
