"""Benchmark of the load generator: what a call costs it, beside gRPC's own client.

Generator and server share a machine in most of our runs, so what the generator takes
is taken from the server. Both callers make the same calls on the same schedule to the
same server, a process of its own that answers at once; processor time is of the caller
alone. At the rate of a flood gRPC's servers are long out of breath: there the generator
alone is asked, against a server that answers without looking.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc

import tiny_shop
from bench.report import BenchRow, at_most
from generator import generate
from instant_server import instant_server
from lanes import RECOMMEND, Lane, recommend_lane
from load_run import MAX_CPU_SHARE, LoadRun, quantile
from open_loop import Schedule, poisson

PEER = "grpc.aio"
RATES = (300.0, 1_500.0)
FLOOD_RATE = 15_000.0
"""What twice the capacity of POPULAR may come to on two cores."""

_SECONDS, _QUICK_SECONDS = 6.0, 1.5
_BAR_OF_PEER = 0.5
_MAX_LATE_MS = 1.0
_SEED = 7
_NUM_CHANNELS = 8
_PATIENCE_SECONDS = 5.0


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Returns the rows of the benchmark; some 30 s, quick 8 s."""
    seconds = _QUICK_SECONDS if quick else _SECONDS
    rows: list[BenchRow] = []
    with _shop() as address:
        for rate in RATES:
            rows += _rows(address, rate, seconds)
    with instant_server() as address:
        rows += _flood_rows(address, seconds)
    return [asdict(row) for row in rows]


def _lane() -> Lane:
    return recommend_lane("all", [f"user-{number}" for number in range(100)])


def _flood_rows(address: str, seconds: float) -> list[BenchRow]:
    run = generate(address, poisson(FLOOD_RATE, seconds, _SEED), [_lane()])
    share = round(run.generator_cpu_share, 3)
    work = f"generator's share of a core, {FLOOD_RATE:,.0f}/s"
    return [
        at_most(work, share, "share", MAX_CPU_SHARE),
        _lateness_row(run, FLOOD_RATE),
    ]


def _rows(address: str, rate: float, seconds: float) -> list[BenchRow]:
    lane = _lane()
    schedule = poisson(rate, seconds, _SEED)
    run = generate(address, schedule, [lane])
    ours_us = run.generator_cpu_share * run.seconds / len(run) * 1e6
    peer_us = asyncio.run(_peer_us(address, schedule, lane))
    return [
        at_most(
            f"processor time of a call, {rate:,.0f}/s",
            round(ours_us, 1),
            "us",
            round(peer_us * _BAR_OF_PEER, 1),
            {PEER: round(peer_us, 1)},
        ),
        _lateness_row(run, rate),
    ]


def _lateness_row(run: LoadRun, rate: float) -> BenchRow:
    return at_most(
        f"median lateness of a call, {rate:,.0f}/s",
        quantile(run.late_ms(), 0.5),
        "ms",
        _MAX_LATE_MS,
    )


async def _peer_us(address: str, schedule: Schedule, lane: Lane) -> float:
    """Returns the processor time of a call by gRPC's asyncio client."""
    # Without its own pool each channel to one address is the same connection.
    alone = (("grpc.use_local_subchannel_pool", 1),)
    channels = [
        grpc.aio.insecure_channel(address, options=alone) for _ in range(_NUM_CHANNELS)
    ]
    methods = [channel.unary_unary(RECOMMEND, None, None) for channel in channels]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    calls: set[asyncio.Task[Any]] = set()

    async def one(number: int) -> None:
        request = lane.requests[number % len(lane.requests)]
        # A call that fails has cost what it has cost.
        with contextlib.suppress(grpc.aio.AioRpcError):
            await methods[number % _NUM_CHANNELS](request, timeout=_PATIENCE_SECONDS)

    start, cpu = time.perf_counter(), time.process_time()
    for number, due_s in enumerate(schedule.due_s.tolist()):
        await asyncio.sleep(max(start + due_s - time.perf_counter(), 0.0))
        task = asyncio.create_task(one(number))
        calls.add(task)
        task.add_done_callback(calls.discard)
    await asyncio.gather(*calls)
    cpu_s = time.process_time() - cpu
    for channel in channels:
        await channel.close(None)
    return cpu_s / len(schedule) * 1e6


@contextlib.contextmanager
def _shop() -> Iterator[str]:
    """Yields the address of a server that answers at once, in its own process."""
    child = subprocess.Popen(
        [sys.executable, str(Path(tiny_shop.__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with child:
        assert child.stdout is not None
        assert child.stdin is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.stdin.close()
