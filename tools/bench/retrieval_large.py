"""Ten million items with int8 codes only: does it build, and serve, on this machine."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.retrieval_data import (
    CHUNK_ROWS,
    clustered_chunks,
    clustered_queries,
    exact_neighbours,
)
from bench.retrieval_engines import BuildOptions, hnsw_options
from bench.retrieval_figures import (
    OURS,
    Floats,
    Labels,
    Row,
    recall_of,
    row,
    say,
    timed,
)
from bench.retrieval_process import anonymous_bytes, in_child
from stepwell.index.ann_index import HnswIndex

DIM, K = 64, 100
NUM_QUERIES = 500
WIDTHS = (100, 200, 400, 800)
OPTIONS = BuildOptions(m=16, ef_construction=100, num_threads=2)
GIBIBYTE = 2.0**30
_SAY_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Served:
    """What the built index did.

    Attributes:
        build_s: seconds of the build.
        index_bytes: resident, of the index alone.
        widths: (ef, recall, mean us, p99 us) of single calls.
    """

    build_s: float
    index_bytes: int
    widths: list[tuple[int, float, float, float]]


def large_rows(num_items: int) -> list[Row]:
    """Returns build time, memory, and speed with its recall; no bars.

    Cost: for ten million items some 20 minutes, 4 GiB of memory and 2.6 GB of disk.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        queries, truth = generate(path, num_items)
        served = in_child(serve, path, queries, truth)
    what = f"generated {num_items:,} x {DIM} cosine, int8 only, {OPTIONS.text}"
    rows = [
        row(
            f"large: build, {OPTIONS.num_threads} threads, {what}",
            "s",
            {OURS: served.build_s},
            lower_is_better=True,
        ),
        row(
            f"large: memory, {what}",
            "GiB resident",
            {OURS: served.index_bytes / GIBIBYTE},
            lower_is_better=True,
        ),
    ]
    for ef, recall, mean, p99 in served.widths:
        rows.append(
            row(
                f"large: one query a call, ef {ef}, recall@{K} {recall:.4f}",
                "us p99",
                {OURS: p99},
                lower_is_better=True,
                also={"mean": mean},
            )
        )
    return rows


def generate(path: Path, num_items: int) -> tuple[Floats, Labels]:
    """Writes the items chunk by chunk; returns queries and their exact neighbours."""
    queries = clustered_queries(NUM_QUERIES, DIM)
    shape = (num_items, DIM)
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    nearest: Labels = np.empty((NUM_QUERIES, 0), np.int64)
    scores: Floats = np.empty((NUM_QUERIES, 0), np.float32)
    for number, chunk in enumerate(clustered_chunks(num_items, DIM)):
        start = number * CHUNK_ROWS
        say(f"large: {start + len(chunk):,} of {num_items:,} items written")
        file[start : start + len(chunk)] = chunk
        near = exact_neighbours(chunk, queries, K, "cosine")
        score = np.einsum("bkd,bd->bk", chunk[near], queries)
        score[near < 0] = -np.inf
        nearest = np.concatenate([nearest, near + start], axis=1)
        scores = np.concatenate([scores, score], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        nearest = np.take_along_axis(nearest, best, axis=1)
        scores = np.take_along_axis(scores, best, axis=1)
    file.flush()
    return queries, nearest


def serve(path: Path, queries: Floats, truth: Labels) -> Served:
    """Builds over the mapped items and answers every query alone."""
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    before = anonymous_bytes()
    started = time.perf_counter()
    said = started

    def tell(done: int, total: int) -> None:
        nonlocal said
        now = time.perf_counter()
        if done and now - said >= _SAY_SECONDS:
            said = now
            left = (now - started) / done * (total - done)
            say(f"large: {done:,} of {total:,} built, {left:,.0f} s left")

    options = hnsw_options(OPTIONS, "int8", keep_vectors=False)
    ids = np.arange(len(vectors))
    index = HnswIndex.build(vectors, ids, options, progress=tell)
    build_s = time.perf_counter() - started
    del ids
    widths = [(ef, *_asked(index, queries, truth, ef)) for ef in WIDTHS]
    return Served(build_s, anonymous_bytes() - before, widths)


def _asked(
    index: HnswIndex, queries: Floats, truth: Labels, ef: int
) -> tuple[float, float, float]:
    say(f"large: searching at ef {ef}")
    spans, found = [], []
    for query in queries:
        took, result = timed(index.search, query[None], K, ef_search=ef)
        spans.append(took * 1e6)
        found.append(result.ids)
    recall = recall_of(np.concatenate(found), truth)
    return recall, float(np.mean(spans)), float(np.percentile(spans, 99))
