"""`./stepwell bench NAME`: measures beside peers in the same run, checks bars."""

import argparse
import importlib
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import figures, report
from bench.ops_peers import PEERS, parsed_peers
from bench.retrieval_options import PARTS, RetrievalOptions, parsed_parts
from project_state import project_root
from stepwell.base.errors import InvalidArgumentError

BENCHMARKS = {
    "ops": "the native core against torch, FBGEMM and torch.compile",
    "ops_cuda": "the native core on a GPU against torch and Triton",
    "scorer": "the FULL tier's scorer at 500 candidates, and what batching saves",
    "retrieval": "recall and speed of the index against hnswlib, faiss and usearch",
    "serving": "every tier on the demo's release; a larger site's work beside peers",
    "load_generator": "what a call costs the load generator, beside gRPC's own client",
    "guardrails": "false alarms of a canary's guardrails, and how soon it is found out",
    "experiments": "what an exposure costs, and false alarms of the tests",
    "ladder": "what the ladder holds under overload and loss; beside rivals",
    "releases": "what callers notice of swaps, rollbacks and starts",
    "features": "reads, freshness and skew: fresh or safe, and what it costs",
}
RETRIEVAL_ARGUMENTS = (
    "vectors",
    "queries",
    "truth",
    "metric",
    "parts",
    "more",
    "large",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `bench`."""
    names = "\n".join(f"  {name:14} {what}" for name, what in BENCHMARKS.items())
    parser.description = f"Runs one benchmark and prints its table.\n\n{names}"
    parser.add_argument("name", choices=BENCHMARKS, help="the benchmark to run")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the report; in docs/figures, also the tables of it",
    )
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
    parser.add_argument(
        "--long",
        action="store_true",
        help="of ladder: minutes a run, as docs say; some 45 in all, planned aloud",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="PART",
        help="of releases: measure this part again; in --json the others' rows stay",
    )
    _add_retrieval_arguments(parser)


def _add_retrieval_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "of retrieval",
        "Measures on GloVe, fetched once by npm, or on your own vectors. With --json "
        "the curves are drawn as SVG beside the report.",
    )
    group.add_argument(
        "--vectors", type=Path, metavar="FILE", help=".npy or .fvecs, float32 [N, D]"
    )
    group.add_argument(
        "--queries",
        type=Path,
        metavar="FILE",
        help=".npy or .fvecs; 1,000 of the vectors are held out if not given",
    )
    group.add_argument(
        "--truth",
        type=Path,
        metavar="FILE",
        help="exact neighbours of the queries, .npy or .ivecs; computed if not given",
    )
    group.add_argument(
        "--metric",
        choices=("cosine", "inner_product", "l2"),
        help="of --vectors (cosine)",
    )
    group.add_argument(
        "--parts",
        type=parsed_parts,
        metavar="NAMES",
        help=f"some of {','.join(PARTS)}; all but large if not given",
    )
    group.add_argument(
        "--more",
        action="store_true",
        help="also our other codes and the peers' quantised forms, which only inform",
    )
    group.add_argument(
        "--large",
        action="store_true",
        help="only ten million items: some 25 minutes and 5 GiB",
    )


def run(args: argparse.Namespace) -> int:
    """Measures, prints, writes; returns 1 when `--check` finds a row short."""
    _check_owners(args)
    benchmark = importlib.import_module(f"bench.{args.name}")
    chosen = _chosen(args)
    notes = benchmark.notes(**chosen) if hasattr(benchmark, "notes") else []
    # Before an hour of measuring, not after it.
    kept = report.read_rows(args.json) if args.only and args.json else []
    found = benchmark.measure(quick=args.quick, **chosen)
    rows = [report.BenchRow(**row) for row in found]
    holds = all(row.holds for row in rows)
    console = _console()
    report.print_table(args.name, rows, console)
    for note in notes:
        console.print(f"Note: {note}")
    if args.json:
        rows = report.with_parts_replaced(kept, rows)
        report.write_json(args.json, args.name, rows, notes)
        _write_tables(args.json.resolve(), console)
    return int(args.check and not holds)


def _write_tables(path: Path, console: Console) -> None:
    """A report that documents take a table from is shown there at once."""
    root = project_root().resolve()
    if path.parent == root / figures.FIGURES_FOLDER:
        for name in figures.rewrite(root):
            console.print(f"bench: table written to {name}")


def _check_owners(args: argparse.Namespace) -> None:
    """An argument of one benchmark means nothing to another."""
    if args.peer is not None and args.name != "ops":
        raise InvalidArgumentError(f"--peer is for ops, not for {args.name}")
    if args.only and args.name != "releases":
        raise InvalidArgumentError(f"--only is for releases, not for {args.name}")
    if args.long and args.name != "ladder":
        raise InvalidArgumentError(f"--long is for ladder, not for {args.name}")
    for name in RETRIEVAL_ARGUMENTS:
        if getattr(args, name) and args.name != "retrieval":
            raise InvalidArgumentError(
                f"--{name} is for retrieval, not for {args.name}"
            )


def _chosen(args: argparse.Namespace) -> dict[str, Any]:
    """What the benchmark takes beside `quick`."""
    if args.name == "ladder":
        return {"long": args.long, "plots": _plots_folder(args)}
    if args.name == "releases":
        return {"plots": _plots_folder(args), "only": args.only or ()}
    if args.name == "ops":
        return {"peers": args.peer}
    if args.name != "retrieval":
        return {}
    parts = ("large",) if args.large else args.parts or PARTS[:-1]
    options = RetrievalOptions(
        quick=args.quick,
        parts=parts,
        more=args.more,
        vectors=args.vectors,
        queries=args.queries,
        truth=args.truth,
        metric=args.metric or "cosine",
        plots=_plots_folder(args),
    )
    return {"options": options}


def _plots_folder(args: argparse.Namespace) -> Path | None:
    """Figures go beside the report."""
    return args.json.resolve().parent if args.json else None


def _console() -> Console:
    """The terminal as it is; a file or a pipe gets lines wide enough for the table."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=160, highlight=False)
