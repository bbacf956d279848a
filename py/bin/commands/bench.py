"""`./stepwell bench NAME`: measures beside peers in the same run, checks bars."""

import argparse
import importlib
from pathlib import Path

from rich.console import Console

from bench import report
from bench.ops_peers import PEERS, parsed_peers
from stepwell.base.errors import InvalidArgumentError

BENCHMARKS = {
    "ops": "the native core against torch, FBGEMM and torch.compile",
    "ops_cuda": "the native core on a GPU against torch and Triton",
    "retrieval": "recall and speed of the index against hnswlib, faiss and usearch",
    "serving": "latency of every tier over gRPC on the demo's release, one core",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `bench`."""
    names = "\n".join(f"  {name:10} {what}" for name, what in BENCHMARKS.items())
    parser.description = f"Runs one benchmark and prints its table.\n\n{names}"
    parser.add_argument("name", choices=BENCHMARKS, help="the benchmark to run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report")
    parser.add_argument(
        "--check", action="store_true", help="exit 1 when a row misses its bar"
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument(
        "--peer",
        type=parsed_peers,
        metavar="NAMES",
        help=f"of ops: some of {','.join(PEERS)}; all that are installed if not given",
    )


def run(args: argparse.Namespace) -> int:
    """Measures, prints, writes; returns 1 when `--check` finds a row short."""
    if args.peer is not None and args.name != "ops":
        raise InvalidArgumentError(f"--peer is for ops, not for {args.name}")
    benchmark = importlib.import_module(f"bench.{args.name}")
    chosen = {"peers": args.peer} if args.name == "ops" else {}
    notes = benchmark.notes(**chosen) if chosen else []
    found = benchmark.measure(quick=args.quick, **chosen)
    rows = [report.BenchRow(**row) for row in found]
    console = _console()
    report.print_table(args.name, rows, console)
    for note in notes:
        console.print(f"Note: {note}")
    if args.json:
        report.write_json(args.json, args.name, rows, notes)
    short = [row.work for row in rows if not row.holds]
    return int(bool(short) and args.check)


def _console() -> Console:
    """The terminal as it is; a file or a pipe gets lines wide enough for the table."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=160, highlight=False)
