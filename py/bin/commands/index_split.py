"""`./stepwell index split`: one file of an index cut into a file for each shard."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stepwell.embeddings.label_shards import LabelShards
from stepwell.embeddings.shard_map import Partition
from stepwell.index.ann_index import HnswIndex
from stepwell.index.split import split_index

SPLIT_SUMMARY = "into a file for each shard"
SPLIT_EXPLAINED = """\
Cuts an index into shards, each a file of its own, built anew with the index's own
metric, M, ef_construction and codes: DIR/shard-0.hnsw, DIR/shard-1.hnsw ... A release's
index.hnsw is such a file.

--partition hash spreads any ids evenly. --partition range cuts the ids 0, 1 ... into
equal runs, so that items that were numbered together stay together; ids that are given
later go to the last shard (--num-labels leaves room for them).

Prints the flags with which retrieval_main serves each.
See docs/retrieval_service.md."""


def add_split_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `index split`."""
    parser.add_argument("index", type=Path, metavar="FILE")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="DIR", help="made if not there"
    )
    parser.add_argument(
        "--shards", type=int, required=True, metavar="N", help="1 to 1024"
    )
    parser.add_argument(
        "--partition",
        choices=[one.value for one in Partition],
        default=Partition.HASH.value,
        help="how ids have shards (default: %(default)s)",
    )
    parser.add_argument(
        "--num-labels",
        type=int,
        metavar="N",
        help="with range: ids to cut (default: up to the largest of the index)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="1 gives the same files each time (default: %(default)s)",
    )


def split(
    args: argparse.Namespace, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Writes the shards; returns what to print.

    Raises:
        StepwellError: the file is none, or an argument is out of its range.
    """
    index = HnswIndex.open(args.index)
    num_labels = args.num_labels
    if num_labels is None:
        num_labels = int(index.ids().max(initial=0)) + 1
    shards = LabelShards(args.shards, Partition(args.partition), num_labels)
    args.out.mkdir(parents=True, exist_ok=True)
    paths = [args.out / f"shard-{number}.hnsw" for number in range(shards.num_shards)]
    counts = split_index(
        index, shards.of_labels, paths, num_threads=args.threads, progress=progress
    )
    return {
        "partition": shards.partition.value,
        "num_labels": shards.num_labels,
        "num_items": sum(counts),
        "shards": [
            {
                "file": str(path),
                "num_items": count,
                "flags": " ".join(_flags(path, number, shards)),
            }
            for number, (path, count) in enumerate(zip(paths, counts, strict=True))
        ],
    }


def _flags(path: Path, number: int, shards: LabelShards) -> list[str]:
    flags = [
        f"--index={path}",
        f"--shard={number}",
        f"--num_shards={shards.num_shards}",
    ]
    if shards.partition is Partition.RANGE:
        flags += ["--partition=range", f"--num_labels={shards.num_labels}"]
    return flags
