"""`./stepwell index`: builds, checks and converts files of an index of vectors."""

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from commands.index_split import (
    SPLIT_EXPLAINED,
    SPLIT_SUMMARY,
    add_split_arguments,
    split,
)
from stepwell.base.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    StepwellError,
)
from stepwell.index.ann_index import FlatIndex, HnswIndex, HnswOptions
from stepwell.index.build import IndexBuild
from stepwell.index.options import Codes, Metric
from stepwell.index.vector_file import read_id_rows, read_vectors

_DEFAULTS = HnswOptions()
_MAX_THREADS = 64

_EXPLAINED = """\
Builds, checks and converts files of a nearest-neighbour index.

  ./stepwell index build glove.npy -o glove.index --threads 2
  ./stepwell index info glove.index
  ./stepwell index verify glove.index
  ./stepwell index split glove.index -o shards/ --shards 3
  ./stepwell index import-hnswlib old.bin -o new.index --metric cosine --dim 100

A file appears whole or not at all; it is opened mapped, and every byte of it is
checked then. See docs/index.md."""

_BUILD_EXPLAINED = """\
Builds a graph over the vectors of a file: .npy (float, [N, D]) or .fvecs.

More --M means more links: better recall, more memory, slower building. More
--ef-construction means better links: better recall, slower building. The width of a
search (ef_search) is chosen at each search.

--codes says what the graph is walked over: int8 is the smallest and the fastest. The
float32 vectors are kept beside the codes, for exact scores; --drop-vectors saves their
memory, and scores then have the error of the codes.

A build that is killed or stopped by Ctrl-C goes on where it was when the same command
is given again. With --threads 1 the finished file is the same, byte for byte, as that
of a build that ran through. --no-resume begins anew."""


_INFO_EXPLAINED = """\
Checks a file, then says what is in it: how many items of how many dimensions, how they
are compared and coded, the graph's parameters, the memory and the embedding space."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `index`."""
    parser.description = _EXPLAINED
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = _add_action(actions, "build", "from a file of vectors", _BUILD_EXPLAINED)
    build.add_argument("vectors", type=Path, metavar="FILE", help=".npy or .fvecs")
    _add_out(build)
    _add_options(build)
    build.add_argument(
        "--ids",
        type=Path,
        metavar="FILE",
        help="ids of the vectors, .npy [N, 1] or .ivecs; default: 0, 1, 2 ...",
    )
    build.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with a build that was cut off",
    )
    info = _add_action(actions, "info", "what an index holds", _INFO_EXPLAINED)
    info.add_argument("index", type=Path, metavar="FILE")
    verify = _add_action(
        actions,
        "verify",
        "check every byte, count and link",
        "Checks every byte against its checksum, every count and every link. Prints\n"
        "what is wrong, and where, and exits with 1.",
    )
    verify.add_argument("index", type=Path, metavar="FILE")
    add_split_arguments(_add_action(actions, "split", SPLIT_SUMMARY, SPLIT_EXPLAINED))
    imports = _add_action(
        actions,
        "import-hnswlib",
        "from a file of hnswlib's save_index",
        "Takes graph, vectors, labels and deletions over from a file that hnswlib 0.8\n"
        "saved, after checking each count, offset and link. Such a file does not say\n"
        "its metric or its number of dimensions: a wrong --dim is noticed, a wrong\n"
        "--metric is not.",
    )
    imports.add_argument("hnswlib", type=Path, metavar="FILE")
    _add_out(imports)
    imports.add_argument("--dim", type=int, required=True, metavar="D")
    _add_coding(imports)


def _add_action(
    actions: Any, name: str, summary: str, explained: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name,
        help=summary,
        description=explained,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    return parser


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="OUT", help="the index"
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--M",
        type=int,
        default=_DEFAULTS.m,
        dest="m",
        metavar="M",
        help="links of a node, 2 to 128 (default: %(default)s)",
    )
    parser.add_argument(
        "--ef-construction",
        type=int,
        default=_DEFAULTS.ef_construction,
        metavar="EF",
        help="width of the search for links, 1 to 10000 (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=_DEFAULTS.seed,
        help="of the items' levels (default: %(default)s)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=min(os.cpu_count() or 1, _MAX_THREADS),
        metavar="N",
        help="1 gives the same file each time (default: every core, %(default)s)",
    )
    _add_coding(parser)


def _add_coding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metric",
        choices=get_args(Metric),
        default=_DEFAULTS.metric,
        help="how vectors are compared (default: %(default)s)",
    )
    parser.add_argument(
        "--codes",
        choices=get_args(Codes),
        default=_DEFAULTS.codes,
        help="what the graph is walked over (default: %(default)s)",
    )
    parser.add_argument(
        "--drop-vectors", action="store_true", help="keep the codes only"
    )


def run(args: argparse.Namespace) -> int:
    """Does what was asked; returns 1, with one line that says why, when it cannot."""
    console = Console(stderr=args.json)
    try:
        facts = _ACTIONS[args.action](args, console)
    except (StepwellError, OSError) as error:
        print(f"index {args.action}: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(facts))
    else:
        _print(facts, console)
    return 0


def _build(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    vectors = read_vectors(args.vectors)
    ids = None if args.ids is None else _one_column(args.ids)
    build = IndexBuild(args.out, _options(args))
    if args.resume and build.is_cut_off:
        console.print(f"goes on with the build that was cut off beside {args.out}")
    start = time.monotonic()
    with _bar(console) as progress:
        bar = progress.add_task("build", total=len(vectors))
        try:
            index = build.run(
                vectors,
                ids,
                lambda done, total: progress.update(bar, completed=done, total=total),
                resume=args.resume,
            )
        except KeyboardInterrupt:
            progress.stop()
            console.print("stopped; the same command goes on from here")
            raise
    seconds = time.monotonic() - start
    return {"file": str(args.out), "seconds": round(seconds, 3), **_facts(index)}


def _info(args: argparse.Namespace, _: Console) -> dict[str, Any]:
    return {"file": str(args.index), **_facts(_open(args.index))}


def _verify(args: argparse.Namespace, _: Console) -> dict[str, Any]:
    start = time.monotonic()
    index = _open(args.index)
    seconds = time.monotonic() - start
    return {
        "file": str(args.index),
        "whole": True,
        "bytes": args.index.stat().st_size,
        "num_items": index.stats().num_items,
        "seconds": round(seconds, 3),
    }


def _split(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    with _bar(console) as progress:
        bar = progress.add_task("split", total=None)
        return split(
            args, lambda done, total: progress.update(bar, completed=done, total=total)
        )


def _import(args: argparse.Namespace, _: Console) -> dict[str, Any]:
    options = HnswOptions(
        metric=args.metric, codes=args.codes, keep_vectors=not args.drop_vectors
    )
    index = HnswIndex.import_hnswlib(args.hnswlib, options, args.dim)
    index.save(args.out)
    return {"file": str(args.out), **_facts(index)}


_ACTIONS = {
    "build": _build,
    "info": _info,
    "verify": _verify,
    "split": _split,
    "import-hnswlib": _import,
}


def _options(args: argparse.Namespace) -> HnswOptions:
    return HnswOptions(
        metric=args.metric,
        m=args.m,
        ef_construction=args.ef_construction,
        seed=args.seed,
        num_threads=args.threads,
        codes=args.codes,
        keep_vectors=not args.drop_vectors,
    )


def _one_column(path: Path) -> Any:
    ids = read_id_rows(path)
    if ids.shape[1] != 1:
        raise InvalidArgumentError(
            f"{path} has {ids.shape[1]} ids a row, must have one", "ids"
        )
    return ids[:, 0].astype("int64")


def _open(path: Path) -> HnswIndex | FlatIndex:
    """The index of a file, whichever of the two kinds it is."""
    try:
        return HnswIndex.open(path)
    except FailedPreconditionError as refusal:
        try:
            return FlatIndex.open(path)
        except FailedPreconditionError:
            raise refusal from None


def _facts(index: HnswIndex | FlatIndex) -> dict[str, Any]:
    facts = dataclasses.asdict(index.stats())
    kind = "graph" if isinstance(index, HnswIndex) else "exact"
    return {"kind": kind, **facts, "space_hash": facts["space_hash"].hex()}


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _print(facts: dict[str, Any], console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in facts.items():
        # Parts of a split: each a line of its own.
        lines = value if isinstance(value, list) else [value]
        for line in lines:
            shown = line["flags"] if isinstance(line, dict) else str(line)
            table.add_row(name, shown)
    console.print(table)
