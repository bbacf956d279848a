"""Opening a file of an index: how long it takes, and what two processes share."""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

from bench.retrieval_data import Workload
from bench.retrieval_engines import Stepwell
from bench.retrieval_figures import OURS, Bar, Floats, Row, row, say, timed
from bench.retrieval_process import proportional_bytes, resident_bytes
from stepwell.index.ann_index import HnswIndex

OPEN_LIMIT_MS = 50.0
MEBIBYTE = 2.0**20
NUM_PROCESSES = 2
NUM_OPENINGS = 5
SHARED_LIMIT = 0.6
"""Half is an even share of two; scratch memory is each one's own."""


def open_rows(work: Workload, ours: Stepwell, folder: Path) -> list[Row]:
    """Saves the index, opens it in two processes at once and searches in both.

    Args:
        work: what the index holds.
        ours: the index.
        folder: for the file, removed with it.
    """
    path = folder / "index.stepwell"
    say("open: saving")
    saving, _ = timed(ours.index.save, path)
    say(f"open: {NUM_OPENINGS} times, then in {NUM_PROCESSES} processes")
    fastest = min(timed(HnswIndex.open, path)[0] for _ in range(NUM_OPENINGS))
    held = _in_processes(path, work.queries, work.k)
    size = path.stat().st_size / MEBIBYTE
    what = f"{work.sizes}, {size:.0f} MiB"
    resident = max(r for r, _ in held) / MEBIBYTE
    shared = max(p for _, p in held) / MEBIBYTE
    return [
        row(
            f"open a file, every block checked, warm, {what}",
            "ms",
            {OURS: fastest * 1e3},
            lower_is_better=True,
            bar=Bar(limit=OPEN_LIMIT_MS),
        ),
        row(
            f"memory of the open file, {NUM_PROCESSES} processes, each searched: "
            f"pages counted by share over pages resident ({resident:.0f} MiB)",
            "ratio",
            {OURS: shared / resident},
            lower_is_better=True,
            bar=Bar(limit=SHARED_LIMIT),
        ),
        row(f"save, {what}", "s", {OURS: saving}, lower_is_better=True),
    ]


def _in_processes(path: Path, queries: Floats, k: int) -> list[tuple[int, int]]:
    """How resident bytes, and bytes by share, grow in each process."""
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(NUM_PROCESSES)]
    children = [
        context.Process(target=open_and_search, args=(path, queries, k, far))
        for _, far in pairs
    ]
    for child in children:
        child.start()
    for _, far in pairs:
        far.close()  # so that a child that dies ends the wait for it
    near = [pipe for pipe, _ in pairs]
    for step in ("opened", "measured"):  # both hold the file while either measures
        for pipe in near:
            pipe.recv()
        for pipe in near:
            pipe.send(step)
    found: list[tuple[int, int]] = [pipe.recv() for pipe in near]
    for child in children:
        child.join()
    return found


def open_and_search(path: Path, queries: Floats, k: int, parent: Connection) -> None:
    """What each process does: opens, searches, waits for the other, measures."""
    before = resident_bytes(), proportional_bytes()
    index = HnswIndex.open(path)
    index.search(queries, k, ef_search=4 * k)
    parent.send("ready")
    parent.recv()
    after = resident_bytes(), proportional_bytes()
    parent.send("measured")
    parent.recv()
    parent.send((after[0] - before[0], after[1] - before[1]))
