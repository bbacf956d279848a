"""Benchmark `ops`: embedding lookup and feature interaction beside torch's own ways.

One thread, sizes of serving. Random ids rotate among 8 index sets so that no cache is
measured. Ours and the peer run in turns in the same process; medians. Every row also
compares with float64 in the same run and prints the largest difference.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.report import ratio_to_best
from stepwell.ops.dot_interaction import dot_interaction
from stepwell.ops.embedding_bag_tables import embedding_bag_tables

NUM_INDEX_SETS = 8
OURS = "ours"
# (tables, rows, dim, batch, entries a bag)
LOOKUPS = (
    (8, 100_000, 32, 1, 1),
    (8, 100_000, 32, 64, 1),
    (8, 100_000, 32, 500, 1),
    (8, 100_000, 32, 2048, 1),
    (26, 100_000, 64, 1, 1),
    (26, 100_000, 64, 500, 1),
    (8, 100_000, 64, 500, 20),
    (8, 1_000_000, 128, 256, 20),
)
# (sparse features, dim, batch)
INTERACTIONS = (
    (8, 16, 1),
    (8, 16, 500),
    (26, 64, 1),
    (26, 64, 256),
    (26, 64, 500),
    (26, 64, 2048),
)
QUICK_BYTES = 1 << 30  # tables larger than this wait for the whole benchmark

Row = dict[str, Any]
Call = Callable[[int], Tensor]  # the argument numbers the index set


def measure(quick: bool = False) -> list[Row]:
    """Returns the rows of the benchmark; about 40 s and 5 GB, quick about 10 s."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return list(_rows(seconds=0.1 if quick else 0.5, quick=quick))
    finally:
        torch.set_num_threads(before)


def _rows(seconds: float, quick: bool) -> Iterator[Row]:
    for num_tables, num_rows, dim, batch, length in LOOKUPS:
        if quick and num_tables * num_rows * dim * 4 > QUICK_BYTES:
            continue
        yield _lookup_row(num_tables, num_rows, dim, batch, length, seconds)
    for num_sparse, dim, batch in INTERACTIONS:
        yield _interaction_row(num_sparse, dim, batch, seconds)
        yield _interaction_backward_row(num_sparse, dim, batch, seconds)


def _lookup_row(
    num_tables: int, num_rows: int, dim: int, batch: int, length: int, seconds: float
) -> Row:
    weights = [torch.randn(num_rows, dim) for _ in range(num_tables)]
    size = (NUM_INDEX_SETS, num_tables, batch * length)
    indices = torch.randint(0, num_rows, size)
    flat = [index_set.flatten() for index_set in indices]
    offsets = torch.arange(num_tables * batch + 1) * length
    starts = torch.arange(batch) * length

    def ours(index_set: int) -> Tensor:
        return embedding_bag_tables(weights, flat[index_set], offsets)

    def per_table(index_set: int) -> Tensor:
        pooled = [
            functional.embedding_bag(ids, table, starts, mode="sum")
            for ids, table in zip(indices[index_set], weights, strict=True)
        ]
        return torch.cat(pooled, 1)

    found = torch.cat(
        [
            table[ids].double().view(batch, length, dim).sum(1)
            for ids, table in zip(indices[0], weights, strict=True)
        ],
        1,
    )
    text = f"lookup {num_tables} x {num_rows:,} x {dim}, {batch} bags of {length}"
    calls: dict[str, Call] = {OURS: ours, "EmbeddingBag + cat": per_table}
    return _row(text, calls, found, seconds)


def _interaction_peer(dense: Tensor, sparse: Tensor, i: Tensor, j: Tensor) -> Tensor:
    vectors = torch.cat([dense[:, None], sparse], 1)
    return torch.cat([dense, torch.bmm(vectors, vectors.mT)[:, i, j]], 1)


def _interaction_row(num_sparse: int, dim: int, batch: int, seconds: float) -> Row:
    dense = torch.randn(batch, dim)
    sparse = torch.randn(batch, num_sparse, dim)
    i, j = torch.tril_indices(num_sparse + 1, num_sparse + 1, -1)
    calls: dict[str, Call] = {
        OURS: lambda _: dot_interaction(dense, sparse),
        "bmm + gather": lambda _: _interaction_peer(dense, sparse, i, j),
    }
    expected = _interaction_peer(dense.double(), sparse.double(), i, j)
    text = f"interaction B={batch} F={num_sparse + 1} D={dim}"
    return _row(text, calls, expected, seconds)


def _interaction_backward_row(
    num_sparse: int, dim: int, batch: int, seconds: float
) -> Row:
    dense = torch.randn(batch, dim, requires_grad=True)
    sparse = torch.randn(batch, num_sparse, dim, requires_grad=True)
    i, j = torch.tril_indices(num_sparse + 1, num_sparse + 1, -1)

    def gradient(out: Tensor) -> Tensor:
        return torch.autograd.grad(out.sum(), sparse)[0]

    calls: dict[str, Call] = {
        OURS: lambda _: gradient(dot_interaction(dense, sparse)),
        "bmm + gather": lambda _: gradient(_interaction_peer(dense, sparse, i, j)),
    }
    out = _interaction_peer(dense.double(), sparse.double(), i, j)
    text = f"interaction B={batch} F={num_sparse + 1} D={dim}, forward and backward"
    return _row(text, calls, gradient(out).double(), seconds)


def _row(text: str, calls: dict[str, Call], expected: Tensor, seconds: float) -> Row:
    error = float((calls[OURS](0).double() - expected).abs().max())
    figures = _medians(calls, seconds)
    ours = figures.pop(OURS)
    ratio = ratio_to_best(ours, figures, lower_is_better=True)
    return {
        "work": f"{text} (largest error {error:.1e})",
        "ours": ours,
        "unit": "us",
        "peers": figures,
        "ratio": ratio,
        "bar": ">= 1x the best peer",
        "holds": ratio is not None and ratio >= 1.0,
    }


def _medians(calls: dict[str, Call], seconds: float) -> dict[str, float]:
    """Returns the median time of each call in us, the calls taking turns."""
    for call in calls.values():
        for index_set in range(NUM_INDEX_SETS):
            call(index_set)
    times: dict[str, list[float]] = {name: [] for name in calls}
    until = time.perf_counter() + seconds * len(calls)
    turn = 0
    while turn < NUM_INDEX_SETS or time.perf_counter() < until:
        for place, (name, call) in enumerate(calls.items()):
            # Half the sets apart, so that no call finds the rows of the one before it.
            index_set = (turn + place * NUM_INDEX_SETS // len(calls)) % NUM_INDEX_SETS
            started = time.perf_counter()
            call(index_set)
            times[name].append((time.perf_counter() - started) * 1e6)
        turn += 1
    return {name: float(np.median(spans)) for name, spans in times.items()}
