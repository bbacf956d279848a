"""Time and memory of building: two threads, the same vectors, the same M."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.retrieval_data import Workload
from bench.retrieval_engines import (
    Build,
    BuildOptions,
    Engine,
    Hnswlib,
    build_stepwell,
    stepwell_of,
)
from bench.retrieval_figures import OURS, Bar, Floats, Row, recall_of, row, say, timed
from bench.retrieval_process import anonymous_bytes, as_file, in_child

PEER = "hnswlib"
MEBIBYTE = 2.0**20
TIME_SHARE = 0.8
MEMORY_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Built:
    """Engines over the same vectors, and the seconds that each took."""

    engines: dict[str, Engine]
    seconds: dict[str, float]


def build_all(
    vectors: Floats, builders: Mapping[str, Build], options: BuildOptions
) -> Built:
    """Builds every engine, one after another."""
    engines, seconds = {}, {}
    for name, build in builders.items():
        say(f"build: {name}, {len(vectors):,} items, {options.text}")
        seconds[name], engines[name] = timed(build, vectors, options)
    return Built(engines, seconds)


def build_rows(
    work: Workload, built: Built, options: BuildOptions, ef: int
) -> list[Row]:
    """Returns the time of the builds, and the memory of ours with int8 only.

    Args:
        work: the vectors.
        built: all engines, ours with int8 codes and kept vectors.
        options: they were built with.
        ef: width at which the recall of the graphs is compared.
    """
    recalls = {}
    for name, engine in built.engines.items():
        engine.set_width(ef)
        recalls[name] = recall_of(engine.search(work.queries, work.k), work.truth)
    told = ", ".join(f"{name} {recall:.4f}" for name, recall in recalls.items())
    threads = f"{options.num_threads} threads"
    times = built.seconds
    time_row = row(
        f"build, {threads}, {work.sizes}, {options.text} "
        f"(recall@{work.k} at ef {ef}: {told})",
        "s",
        {name: times[name] for name in (OURS, PEER)},
        lower_is_better=True,
        bar=Bar(
            share=TIME_SHARE,
            holds=recalls[OURS] >= recalls[PEER],
            also="no less recall",
        ),
        also={name: s for name, s in times.items() if name not in (OURS, PEER)},
    )
    return [time_row, _memory_row(work, options, built)]


def _memory_row(work: Workload, options: BuildOptions, built: Built) -> Row:
    say("build: memory, each index in a process of its own")
    # Memory depends on M and not on ef_construction: a hasty graph is as large.
    hasty = replace(options, ef_construction=options.m)
    with as_file(work.vectors) as path:
        ours, stated = in_child(int8_memory, path, hasty)
        theirs = in_child(hnswlib_memory, path, hasty)
    kept = stepwell_of(built.engines).index.stats().memory_bytes
    return row(
        f"memory, int8 only, {work.sizes}, M {options.m} "
        f"(its stats say {stated / MEBIBYTE:.1f})",
        "MiB resident",
        {OURS: ours / MEBIBYTE, PEER: theirs / MEBIBYTE},
        lower_is_better=True,
        bar=Bar(share=MEMORY_SHARE),
        also={"stepwell with float32 kept, by its stats": kept / MEBIBYTE},
    )


def int8_memory(path: Path, options: BuildOptions) -> tuple[int, int]:
    """Returns what our index holds resident, and what its stats say, in bytes."""
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    build_stepwell(vectors[:1_000], options)  # what a process pays once
    before = anonymous_bytes()
    engine = build_stepwell(vectors, options, keep_vectors=False)
    return anonymous_bytes() - before, engine.index.stats().memory_bytes


def hnswlib_memory(path: Path, options: BuildOptions) -> int:
    """Returns what hnswlib's index holds resident, in bytes."""
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    Hnswlib(vectors[:1_000], options)
    before = anonymous_bytes()
    engine = Hnswlib(vectors, options)
    held = anonymous_bytes() - before
    del engine  # not before it was counted
    return held
