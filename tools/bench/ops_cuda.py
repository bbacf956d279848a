"""Benchmark `ops_cuda`: lookup and interaction on a GPU beside torch and Triton.

A machine with a GPU needs no more than torch, this file, py/stepwell/ops and the two
libraries, the CUDA one beside the other:

    STEPWELL_OPS_LIBRARY=.../libstepwell_ops.so PYTHONPATH=py:tools \\
        python tools/bench/ops_cuda.py --json ops_cuda.json

Time is the GPU's own, between events; before every call a write to a buffer larger
than the L2 cache empties it and hides the time of the launch. Contenders take turns;
medians. The ceiling is the time in which the same run's plain copy moves the bytes that
the work has to move: each row named, indices and offsets once, the output once. Every
row also compares with float64 in the same run.
"""

import argparse
import functools
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from stepwell.ops.dot_interaction import dot_interaction
from stepwell.ops.embedding_bag_tables import embedding_bag_tables

SKIPPED = "ops_cuda: skipped, torch sees no CUDA device"
OURS = "ours"

Call = Callable[[], Tensor]
Row = dict[str, Any]
# Gives the time of each call in us, the calls taking turns.
Timer = Callable[[dict[str, Call]], dict[str, float]]


@dataclass(frozen=True)
class Bench:
    """Where and how to measure.

    Attributes:
        device: of all tensors.
        timer: see Timer.
        bytes_per_us: what a plain copy moves, read and written.
        compiles: whether torch.compile and Triton are peers.
    """

    device: torch.device
    timer: Timer
    bytes_per_us: float
    compiles: bool


@dataclass(frozen=True)
class LookupSizes:
    """T tables [N, D] in bfloat16, B bags of L entries each."""

    num_tables: int = 26
    num_rows: int = 1_000_000
    dim: int = 128
    batch: int = 8192
    length: int = 20

    def bytes_moved(self) -> int:
        """Returns the bytes that the lookup reads and writes at least."""
        bags = self.num_tables * self.batch
        return bags * ((self.length + 1) * self.dim * 2 + self.length * 8 + 8)


@dataclass(frozen=True)
class InteractionSizes:
    """B samples of F vectors [D] in bfloat16, the dense one among them."""

    batch: int = 8192
    num_vectors: int = 27
    dim: int = 128

    @property
    def width(self) -> int:
        """Columns of the output."""
        return self.dim + self.num_vectors * (self.num_vectors - 1) // 2

    def bytes_moved(self, backward: bool) -> int:
        """Returns the bytes that the interaction reads and writes at least."""
        vectors = self.num_vectors * self.dim * (2 if backward else 1)
        return self.batch * (vectors + self.width) * 2


def measure(quick: bool = False) -> list[Row]:
    """Returns the rows of the benchmark; none, and says so, without a GPU.

    Cost: 8 GB of GPU memory and about a minute, most of it torch.compile.
    """
    if not torch.cuda.is_available():
        print(SKIPPED)
        return []
    device = torch.device("cuda")
    timer = _event_timer(device, repetitions=20 if quick else 100)
    bench = Bench(device, timer, _copy_bytes_per_us(device, timer), compiles=not quick)
    return [
        lookup_row(bench, LookupSizes()),
        interaction_row(bench, InteractionSizes()),
        interaction_backward_row(bench, InteractionSizes()),
    ]


def lookup_row(bench: Bench, sizes: LookupSizes) -> Row:
    """Measures embedding_bag_tables beside nn.EmbeddingBag's function and Triton."""
    num_tables, num_rows, dim = sizes.num_tables, sizes.num_rows, sizes.dim
    table = torch.randn(
        num_tables * num_rows, dim, device=bench.device, dtype=torch.bfloat16
    )
    tables = list(table.view(num_tables, num_rows, dim))
    bags = num_tables * sizes.batch
    ids = torch.randint(0, num_rows, (bags * sizes.length,), device=bench.device)
    offsets = torch.arange(bags + 1, device=bench.device) * sizes.length
    per_table = ids.view(num_tables, sizes.batch, sizes.length)
    first = torch.arange(num_tables, device=bench.device) * num_rows
    in_one_table = (per_table + first[:, None, None]).view(bags, sizes.length)

    def by_table() -> Tensor:
        pooled = [
            functional.embedding_bag(named, rows, mode="sum")
            for named, rows in zip(per_table, tables, strict=True)
        ]
        return torch.cat(pooled, 1)

    def one_bag() -> Tensor:
        pooled = functional.embedding_bag(in_one_table, table, mode="sum")
        return _side_by_side(pooled, sizes)

    def gather() -> Tensor:
        return _side_by_side(table[in_one_table].sum(1), sizes)

    calls: dict[str, Call] = {
        OURS: lambda: embedding_bag_tables(tables, ids, offsets),
        "EmbeddingBag + cat": by_table,
        "one EmbeddingBag": one_bag,
    }
    if bench.compiles:
        calls["torch.compile"] = torch.compile(gather)
        calls |= _triton_lookup(table, in_one_table, sizes)
    few = per_table[:, :64]
    expected = torch.cat(
        [rows[named].double().sum(1) for named, rows in zip(few, tables, strict=True)],
        1,
    )
    text = (
        f"CUDA lookup bf16 {num_tables} x {num_rows:,} x {dim}, "
        f"{sizes.batch} bags of {sizes.length}"
    )
    return _row(bench, text, calls, expected, sizes.bytes_moved(), 0.85, 1.5)


def _side_by_side(pooled: Tensor, sizes: LookupSizes) -> Tensor:
    shape = (sizes.num_tables, sizes.batch, sizes.dim)
    return pooled.view(shape).transpose(0, 1).reshape(sizes.batch, -1)


def _triton_lookup(table: Tensor, ids: Tensor, sizes: LookupSizes) -> dict[str, Call]:
    """A program a bag, its rows summed in float32; empty where Triton is missing."""
    try:
        from bench.ops_cuda_triton import lookup
    except ImportError as error:
        print(f"Not measured: Triton ({error})")
        return {}
    return {"Triton": lambda: lookup(table, ids, sizes.num_tables, sizes.batch)}


def _products(dense: Tensor, sparse: Tensor, i: Tensor, j: Tensor) -> Tensor:
    vectors = torch.cat([dense[:, None], sparse], 1)
    return torch.cat([dense, torch.bmm(vectors, vectors.mT)[:, i, j]], 1)


def _interaction_arguments(
    bench: Bench, sizes: InteractionSizes
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    def floats(*shape: int) -> Tensor:
        return torch.randn(*shape, device=bench.device, dtype=torch.bfloat16)

    i, j = torch.tril_indices(sizes.num_vectors, sizes.num_vectors, -1)
    dense = floats(sizes.batch, sizes.dim).requires_grad_()
    sparse = floats(sizes.batch, sizes.num_vectors - 1, sizes.dim).requires_grad_()
    return dense, sparse, i.to(bench.device), j.to(bench.device)


def _ways_to_interact(bench: Bench) -> dict[str, Callable[..., Tensor]]:
    ways: dict[str, Callable[..., Tensor]] = {
        OURS: lambda dense, sparse, *_: dot_interaction(dense, sparse),
        "bmm + gather": _products,
    }
    if bench.compiles:
        ways["torch.compile"] = torch.compile(_products)
    return ways


def _interaction_text(sizes: InteractionSizes) -> str:
    return f"CUDA interaction bf16 B={sizes.batch} F={sizes.num_vectors} D={sizes.dim}"


def interaction_row(bench: Bench, sizes: InteractionSizes) -> Row:
    """Measures dot_interaction beside bmm and a gather of the lower triangle."""
    arguments = [leaf.detach() for leaf in _interaction_arguments(bench, sizes)]
    calls: dict[str, Call] = {
        name: functools.partial(way, *arguments)
        for name, way in _ways_to_interact(bench).items()
    }
    dense, sparse, i, j = arguments
    expected = _products(dense[:64].double(), sparse[:64].double(), i, j)
    moved = sizes.bytes_moved(backward=False)
    text = _interaction_text(sizes)
    return _row(bench, text, calls, expected, moved, 0.70, 2.0)


def interaction_backward_row(bench: Bench, sizes: InteractionSizes) -> Row:
    """Measures the gradients of both inputs; the forward pass is not in the time."""
    dense, sparse, i, j = arguments = _interaction_arguments(bench, sizes)
    leaves = dense, sparse
    grad = torch.randn(
        sizes.batch, sizes.width, device=bench.device, dtype=torch.bfloat16
    )

    def gradient(out: Tensor) -> Tensor:
        return torch.autograd.grad(out, leaves, grad, retain_graph=True)[1]

    calls: dict[str, Call] = {
        name: functools.partial(gradient, way(*arguments))
        for name, way in _ways_to_interact(bench).items()
    }
    wide = [leaf.detach()[:64].double().requires_grad_() for leaf in leaves]
    out = _products(wide[0], wide[1], i, j)
    expected = torch.autograd.grad(out, wide, grad[:64].double())[1]
    moved = sizes.bytes_moved(backward=True)
    text = f"{_interaction_text(sizes)}, backward"
    return _row(bench, text, calls, expected, moved, 0.60, 2.0)


def _row(
    bench: Bench,
    text: str,
    calls: dict[str, Call],
    expected: Tensor,
    bytes_moved: int,
    least_share: float,
    least_ratio: float,
) -> Row:
    """Measures and judges; `expected` is what the first samples are in float64."""
    got = calls[OURS]()[: len(expected)].double()
    error = float(((got - expected).abs() / (1 + expected.abs())).max())
    figures = bench.timer(calls)
    ours = figures.pop(OURS)
    ceiling = bytes_moved / bench.bytes_per_us
    share, ratio = ceiling / ours, min(figures.values()) / ours
    return {
        "work": f"{text} (largest relative error {error:.1e})",
        "ours": ours,
        "unit": "us",
        "peers": figures,
        "ratio": ratio,
        "bar": f">= {least_share:.0%} of the copy ceiling, >= {least_ratio}x the peer",
        "holds": share >= least_share and ratio >= least_ratio,
        "ceiling": ceiling,
        "share": share,
    }


def _timing_event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _event_timer(device: torch.device, repetitions: int) -> Timer:
    # Twice what a large L2 holds; the write takes longer than a launch.
    flushed = torch.empty(1 << 28, dtype=torch.int32, device=device)

    def time_once(call: Call) -> float:
        flushed.zero_()
        start, end = _timing_event(), _timing_event()
        start.record()
        call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) * 1e3

    def timer(calls: dict[str, Call]) -> dict[str, float]:
        for call in calls.values():
            for _ in range(3):
                call()
        torch.cuda.synchronize()
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(repetitions):
            for name, call in calls.items():
                times[name].append(time_once(call))
        return {name: statistics.median(spans) for name, spans in times.items()}

    return timer


def _copy_bytes_per_us(device: torch.device, timer: Timer) -> float:
    source = torch.ones(1 << 29, dtype=torch.int32, device=device)
    target = torch.empty_like(source)
    spans = timer({OURS: lambda: target.copy_(source)})
    return 2 * source.numel() * source.element_size() / spans[OURS]


def main() -> None:
    """Prints the rows, and writes them with the device's name if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    args = parser.parse_args()
    rows = measure(args.quick)
    for row in rows:
        peers = "  ".join(f"{name} {us:.1f}" for name, us in row["peers"].items())
        verdict = "holds" if row["holds"] else "MISSED"
        print(
            f"{row['work']}\n  ours {row['ours']:.1f} us  {peers}\n"
            f"  {row['share']:.1%} of the copy ceiling, {row['ratio']:.2f}x the best "
            f"peer; bar {row['bar']}: {verdict}"
        )
    if args.json and rows:
        machine = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
        args.json.write_text(
            json.dumps({"benchmark": "ops_cuda", "machine": machine, "rows": rows})
        )


if __name__ == "__main__":
    main()
