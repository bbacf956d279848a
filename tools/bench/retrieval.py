"""Benchmark `retrieval`: the index beside hnswlib, faiss and usearch, and under load.

The parts, each a module `retrieval_<part>`: curves of recall against queries a second;
one query a call; build time and memory; time budgets; filters; opening a file; churn;
and, when asked for, ten million items. All engines search the same vectors with the
same M and ef_construction in the same run, on one thread.

M 32 and ef_construction 200 are what is best for the peers on GloVe: with M 16 hnswlib
is slower at either recall, for it needs a wider search.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.retrieval_budget import budget_rows
from bench.retrieval_build import Built, build_all, build_rows
from bench.retrieval_churn import churn_rows
from bench.retrieval_curves import Curves, curve_rows, draw_curves, measure_curves
from bench.retrieval_data import Workload, generated, workload_of
from bench.retrieval_engines import (
    CONTENDERS,
    INFORMING,
    BuildOptions,
    Hnswlib,
    build_stepwell,
    stepwell_of,
)
from bench.retrieval_figures import Row, say, without_bars
from bench.retrieval_filters import filter_rows
from bench.retrieval_large import large_rows
from bench.retrieval_open import open_rows
from bench.retrieval_options import RetrievalOptions
from bench.retrieval_single import single_rows
from project_state import ProjectState

M, EF_CONSTRUCTION = 32, 200
WIDE_M, WIDE_EF_CONSTRUCTION = 16, 100
"""Of a million items: a build of both engines in minutes."""
COMPARED_EF = 400
DATA_NAME = "glove"


@dataclass(frozen=True, slots=True)
class _Sizes:
    num_rounds: int
    num_items: int  # of the filters and the file
    num_queries: int
    num_churned: int
    num_large: int


_FULL = _Sizes(3, 1_000_000, 500, 100_000, 10_000_000)
_QUICK = _Sizes(1, 10_000, 100, 2_000, 100_000)


def measure(quick: bool = False, options: RetrievalOptions | None = None) -> list[Row]:
    """Returns the rows of the benchmark, as dicts of BenchRow's fields.

    Args:
        quick: small sizes; what `options` say about it counts where they are given.
        options: the request; all parts but "large" on GloVe when None.
    Raises: as `workload_of`.
    Cost: about 15 minutes and 5 GiB; quick under a minute.
    """
    options = options or RetrievalOptions(quick=quick)
    sizes = _QUICK if options.quick else _FULL
    rows: list[Row] = []
    if {"curves", "single", "build", "budget", "churn"} & set(options.parts):
        rows += _compared_rows(_workload(options), options, sizes)
    if {"filters", "open"} & set(options.parts):
        rows += _wide_rows(options, sizes)
    if "large" in options.parts:
        rows += large_rows(sizes.num_large)
    return without_bars(rows) if options.quick else rows


def notes(options: RetrievalOptions | None = None) -> list[str]:
    """Returns a line on vectors that stand in for GloVe, and on a busy machine.

    To be asked before `measure`, which is a load of its own.
    """
    options = options or RetrievalOptions()
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    lines = []
    if set(options.parts) != {"large"} and (note := _workload(options).note):
        lines.append(note)
    if options.quick:
        lines.append("quick: small sizes, the figures say nothing about speed")
    if load > cores / 2:
        lines.append(f"measured on a busy machine: load {load:.1f} on {cores} cores")
    return lines


def _workload(options: RetrievalOptions) -> Workload:
    root = Path(os.environ.get("STEPWELL_ROOT", Path.cwd()))
    return workload_of(options, ProjectState(root, DATA_NAME).folder)


def _compared_rows(
    work: Workload, options: RetrievalOptions, sizes: _Sizes
) -> list[Row]:
    """The parts over the user's vectors or GloVe."""
    built_as = BuildOptions(work.metric, M, EF_CONSTRUCTION)
    rows: list[Row] = []
    parts = set(options.parts)
    if parts & {"curves", "single", "build", "budget"}:
        built = build_all(work.vectors, CONTENDERS, built_as)
        rows += _speed_rows(work, built, built_as, options, sizes)
        if "build" in parts:
            rows += build_rows(work, built, built_as, COMPARED_EF)
        if "budget" in parts:
            rows += budget_rows(work, stepwell_of(built.engines), options.plots)
    if "churn" in parts:
        rows += churn_rows(work, min(sizes.num_churned, len(work.vectors) // 2))
    return rows


def _speed_rows(
    work: Workload,
    built: Built,
    built_as: BuildOptions,
    options: RetrievalOptions,
    sizes: _Sizes,
) -> list[Row]:
    """Curves, and single calls at widths that are read off them."""
    if not {"curves", "single"} & set(options.parts):
        return []
    curves = measure_curves(work, built.engines, sizes.num_rounds)
    rows: list[Row] = []
    if "curves" in options.parts:
        informing: Curves = {}
        if options.more:
            for name, build in INFORMING.items():
                others = build_all(work.vectors, {name: build}, built_as).engines
                informing |= measure_curves(work, others, sizes.num_rounds)
        rows += curve_rows(work, curves, informing, built_as.text)
        if options.plots is not None:
            draw_curves(work, curves | informing, options.plots)
    if "single" in options.parts:
        rows += single_rows(work, built.engines, curves, sizes.num_rounds)
    return rows


def _wide_rows(options: RetrievalOptions, sizes: _Sizes) -> list[Row]:
    """Filters and the file, over a million generated vectors."""
    say(f"generating {sizes.num_items:,} vectors")
    work = generated(sizes.num_items, sizes.num_queries, dim=64)
    built_as = BuildOptions("cosine", WIDE_M, WIDE_EF_CONSTRUCTION)
    say(f"building over {work.sizes}")
    ours = build_stepwell(work.vectors, built_as)
    rows: list[Row] = []
    if "filters" in options.parts:
        say(f"building hnswlib over {work.sizes}")
        rows += filter_rows(work, ours, Hnswlib(work.vectors, built_as))
    if "open" in options.parts:
        with tempfile.TemporaryDirectory() as folder:
            rows += open_rows(work, ours, Path(folder))
    return rows
