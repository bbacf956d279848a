"""Benchmark `ops`: the native core beside its peers, every row with its ceiling.

Peers run in the same process, in turns with ours: torch's own calls, FBGEMM's inference
tables, torch.compile with freezing. One thread, the main rows also on two; medians.
Every row compares with float64 in the same run and prints the largest error; a lookup's
ceiling is a hand-written loop over the same rows (gather_ceiling.py), an interaction's
the speed of multiply-adds from registers. The smallest figures are the cost of a call,
far from any ceiling.
"""

import os
from collections.abc import Callable, Iterator, Sequence

from bench import dlrm_forward, ops_interactions, ops_lookups
from bench.ops_peers import present_peers
from bench.ops_timing import Row, threads

Part = Callable[[float, bool, Sequence[str]], Iterator[Row]]
PARTS: tuple[Part, ...] = (
    ops_lookups.rows,
    ops_interactions.rows,
    dlrm_forward.rows,
)


def measure(quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """Returns the rows of the benchmark, as dicts of BenchRow's fields.

    Args:
        quick: a fifth of the time a row, no table above 1 GiB, nothing compiled.
        peers: names of ops_peers.PEERS; all when None. One that is not installed is
            left out: `notes` says which.
    Cost: some 4 minutes and 13 GiB; quick some 30 s and 3 GiB.
    """
    present, _ = present_peers(peers)
    with threads(1):
        return [
            row for part in PARTS for row in part(0.1 if quick else 0.5, quick, present)
        ]


def notes(peers: Sequence[str] | None = None) -> list[str]:
    """Returns a line on each peer that is left out, and on a machine that is busy.

    To be asked before `measure`, which is a load of its own.
    """
    lines = [f"not measured: {line}" for line in present_peers(peers)[1]]
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > cores / 2:
        lines.append(f"measured on a busy machine: load {load:.1f} on {cores} cores")
    return lines
