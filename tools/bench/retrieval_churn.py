"""Churn: everything deleted and replaced three times while searches go on.

One thread writes, another searches, in a process that does nothing else. A search that
raises, gives fewer than k items, or gives an item whose delete had returned before the
search began is an error.
"""

import threading
from array import array
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bench.retrieval_data import Workload, exact_neighbours
from bench.retrieval_engines import BuildOptions, Stepwell, build_stepwell
from bench.retrieval_figures import (
    OURS,
    Bar,
    Floats,
    Labels,
    Row,
    recall_of,
    row,
    say,
    timed,
)
from bench.retrieval_process import anonymous_bytes, as_file, in_child
from stepwell.base.errors import StepwellError
from stepwell.index.options import Metric

NUM_CHURNS = 3
NUM_BATCHES = 200
"""Of one churn: so few items at a time are missing that k are always alive."""
EF = 400
OPTIONS = BuildOptions(m=16, num_threads=1)
MAX_LOST_POINTS = 1.0
MAX_GROWTH = 1.1
MAX_SLOWER = 1.5


@dataclass(slots=True)
class Load:
    """What a searching thread saw.

    Attributes:
        spans: microseconds of each call, as doubles: a float object for each would
            count as memory of the index.
        errors: what went wrong, in words.
    """

    spans: "array[float]" = field(default_factory=lambda: array("d"))
    errors: list[str] = field(default_factory=list)

    @property
    def p99(self) -> float:
        """Microseconds."""
        return float(np.percentile(self.spans, 99))


@dataclass(frozen=True, slots=True)
class Churned:
    """What three churns did; bytes are resident ones of the index.

    Attributes:
        fresh_recall, recall: of an index built of the last contents, and of ours.
        built_bytes: before the first write.
        churned_bytes: at the end of each churn.
        quiet_us, busy_us: p99 of a search without, and with, a writer.
        num_searches: beside the writer.
        errors: of those.
        items_per_second: written, a delete and an insert each.
    """

    fresh_recall: float
    recall: float
    built_bytes: int
    churned_bytes: list[int]
    quiet_us: float
    busy_us: float
    num_searches: int
    errors: list[str]
    items_per_second: float


class Progress:
    """How far the writer is: items below `deleted` are gone for certain."""

    def __init__(self) -> None:
        self.deleted = 0
        self.over = False


def churn_rows(work: Workload, num_items: int) -> list[Row]:
    """Returns recall, memory, errors and p99 of three churns.

    Args:
        work: gives vectors and queries.
        num_items: alive at a time; where the vectors are too few for four such sets
            they begin again under new ids.
    """
    with as_file(work.vectors) as path:
        found = in_child(churned, path, work.queries, work.k, work.metric, num_items)
    what = f"{NUM_CHURNS} churns of {num_items:,}, {work.sizes}, {OPTIONS.text}"
    lost = 100 * (found.fresh_recall - found.recall)
    growth = max(found.churned_bytes) / found.built_bytes
    said = f" (first: {found.errors[0]})" if found.errors else ""
    recalls = f"{found.recall:.4f}, fresh build {found.fresh_recall:.4f}"
    rate = f"{found.items_per_second:,.0f} items a second replaced"
    figures: list[tuple[str, str, float, float]] = [
        (f"{what}: recall@{work.k} lost ({recalls})", "points", lost, MAX_LOST_POINTS),
        (
            f"the same: memory over that of the build ({rate})",
            "ratio",
            growth,
            MAX_GROWTH,
        ),
        (
            f"the same: errors in {found.num_searches:,} searches{said}",
            "errors",
            float(len(found.errors)),
            0.0,
        ),
        (
            f"the same: p99 of a search over p99 without a writer "
            f"({found.busy_us:,.0f} us, {found.quiet_us:,.0f} us)",
            "ratio",
            found.busy_us / found.quiet_us,
            MAX_SLOWER,
        ),
    ]
    return [
        row(text, unit, {OURS: ours}, lower_is_better=True, bar=Bar(limit=limit))
        for text, unit, ours, limit in figures
    ]


def churned(
    path: Path, queries: Floats, k: int, metric: Metric, num_items: int
) -> Churned:
    """Builds, churns under load, and builds the last contents afresh."""
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    options = replace(OPTIONS, metric=metric)
    build_stepwell(vectors[:1_000], options)  # what a process pays once
    before = anonymous_bytes()
    say(f"churn: building {num_items:,}")
    ours = build_stepwell(contents(vectors, 0, num_items), options)
    built_bytes = anonymous_bytes() - before
    quiet = Load()
    for _ in range(3):
        search_while(ours, queries, k, Progress(), quiet, num_calls=len(queries))
    load, progress, sizes = Load(), Progress(), []
    searcher = threading.Thread(
        target=search_while, args=(ours, queries, k, progress, load)
    )
    searcher.start()
    try:
        taken = 0.0
        for number in range(1, NUM_CHURNS + 1):
            say(f"churn: {number} of {NUM_CHURNS}")
            taken += timed(_replace_all, ours, vectors, number, num_items, progress)[0]
            sizes.append(anonymous_bytes() - before)
    finally:
        progress.over = True
        searcher.join()
    last = contents(vectors, NUM_CHURNS, num_items)
    truth = exact_neighbours(last, queries, k, options.metric)
    ours.set_width(EF)
    found = ours.search(queries, k) - NUM_CHURNS * num_items
    say("churn: building the last contents afresh")
    fresh = build_stepwell(last, options)
    fresh.set_width(EF)
    return Churned(
        fresh_recall=recall_of(fresh.search(queries, k), truth),
        recall=recall_of(found, truth),
        built_bytes=built_bytes,
        churned_bytes=sizes,
        quiet_us=quiet.p99,
        busy_us=load.p99,
        num_searches=len(load.spans),
        errors=load.errors,
        items_per_second=NUM_CHURNS * num_items / taken,
    )


def contents(vectors: Floats, number: int, num_items: int) -> Floats:
    """Returns what is alive after churn `number`; ids begin at number * num_items."""
    rows = np.arange(number * num_items, (number + 1) * num_items) % len(vectors)
    return np.ascontiguousarray(vectors[rows])


def _replace_all(
    ours: Stepwell, vectors: Floats, number: int, num_items: int, progress: Progress
) -> None:
    """Deletes the items of the churn before in order, each batch before its heirs.

    Reads a batch of vectors at a time: a copy of all would count as memory of the
    index even after it is freed.
    """
    num_batches = min(NUM_BATCHES, num_items)
    for places in np.array_split(np.arange(num_items), num_batches):
        ours.index.delete(places + (number - 1) * num_items)
        progress.deleted = (number - 1) * num_items + int(places[-1]) + 1
        coming = vectors[(places + number * num_items) % len(vectors)]
        ours.index.upsert(coming, places + number * num_items)


def search_while(
    ours: Stepwell,
    queries: Floats,
    k: int,
    progress: Progress,
    load: Load,
    num_calls: int = 0,
) -> None:
    """Asks one query a call until `progress` is over, or `num_calls` times."""
    number = 0
    while not progress.over and (not num_calls or number < num_calls):
        gone = progress.deleted
        query = queries[number % len(queries)][None]
        try:
            took, result = timed(ours.index.search, query, k, ef_search=EF)
        except StepwellError as error:
            load.errors.append(str(error))
        else:
            load.spans.append(took * 1e6)
            _check(result.ids[0], gone, load)
        number += 1


def _check(ids: Labels, gone: int, load: Load) -> None:
    if ids[-1] < 0:
        load.errors.append(f"{(ids >= 0).sum()} of {len(ids)} items found")
    elif ids.min() < gone:
        load.errors.append(f"item {ids.min()} was deleted before the search")
