"""One query a call, as a ranker asks: what a caller in Python waits."""

from collections.abc import Mapping, Sequence

import numpy as np

from bench.retrieval_curves import RECALLS, Curves
from bench.retrieval_data import Workload
from bench.retrieval_engines import Engine
from bench.retrieval_figures import (
    OURS,
    Bar,
    Labels,
    Row,
    recall_of,
    row,
    say,
    timed,
    width_at,
)

PEERS = ("hnswlib",)
"""Those that the bar compares; the others' Python faces only inform."""
TIMES = 1.4
P99_LIMIT_US = 1_000.0


def single_rows(
    work: Workload, engines: Mapping[str, Engine], curves: Curves, num_rounds: int
) -> list[Row]:
    """Returns mean and p99 of a call at the widths that give each of RECALLS.

    The width is read off the engine's own curve; the recall that it then has stands in
    the row. In rounds, and the best round's mean counts; p99 is the best round's too.
    """
    rows = []
    for recall in RECALLS:
        say(f"single: one query a call at recall {recall}")
        widths = {name: width_at(recall, curves[name]) for name in engines}
        spans, recalls = _in_rounds(work, engines, widths, num_rounds)
        told = ", ".join(f"{n} {recalls[n]:.4f} at {widths[n]}" for n in engines)
        text = f"one query a call, {work.sizes}, recall@{work.k} = {recall} ({told})"
        means = {n: min(float(np.mean(s)) for s in spans[n]) for n in engines}
        tails = {n: min(float(np.percentile(s, 99)) for s in spans[n]) for n in engines}
        rows.append(_row(text, "us mean", means, Bar(times=TIMES)))
        rows.append(_row("the same", "us p99", tails, Bar(limit=P99_LIMIT_US)))
    return rows


def _row(text: str, unit: str, figures: dict[str, float], bar: Bar) -> Row:
    compared = {n: v for n, v in figures.items() if n == OURS or n in PEERS}
    also = {n: v for n, v in figures.items() if n not in compared}
    return row(text, unit, compared, lower_is_better=True, bar=bar, also=also)


def _in_rounds(
    work: Workload,
    engines: Mapping[str, Engine],
    widths: Mapping[str, int],
    num_rounds: int,
) -> tuple[dict[str, list[list[float]]], dict[str, float]]:
    """Microseconds of every call by engine and round, and the recall of each engine."""
    spans: dict[str, list[list[float]]] = {name: [] for name in engines}
    recalls: dict[str, float] = {}
    for _ in range(num_rounds):
        for name, engine in engines.items():
            engine.set_width(widths[name])
            taken, found = single_calls(work, engine)
            spans[name].append(taken)
            recalls[name] = recall_of(np.concatenate(found), work.truth)
    return spans, recalls


def single_calls(
    work: Workload, engine: Engine
) -> tuple[list[float], Sequence[Labels]]:
    """Asks every query alone; returns the microseconds of each call and its ids."""
    spans, found = [], []
    for place in range(len(work.queries)):
        query = work.queries[place : place + 1]
        took, ids = timed(engine.search, query, work.k)
        spans.append(took * 1e6)
        found.append(ids)
    return spans, found
