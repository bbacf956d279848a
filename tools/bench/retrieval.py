"""Benchmark `retrieval`: speed at equal recall, beside hnswlib, faiss and usearch.

Vectors are generated, at the size of the demo's catalogue: points near a plane of 16
dimensions with noise, cosine, one thread. All engines are measured in the same run with
the same M and ef_construction, in turns, and the best of the turns counts: the others
were disturbed. Recall is against the exact index and stands beside every speed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.report import ratio_to_best
from bench.retrieval_engines import ENGINES, OURS, Floats, Labels, Search
from stepwell.index.ann_index import FlatIndex

SEED = 20_171_126
M, EF_CONSTRUCTION = 16, 200
RECALLS = (0.95, 0.99)
CURVE_K = 10
CURVE_WIDTHS = (10, 14, 20, 28, 40, 56, 80, 112, 160, 240)
SERVING_K, SERVING_EF = 200, 200

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Workload:
    vectors: Floats
    queries: Floats
    truth: Labels  # [B, SERVING_K]
    num_turns: int

    @property
    def sizes(self) -> str:
        items, dim = self.vectors.shape
        return f"{items:,} x {dim} cosine, M {M}, ef_construction {EF_CONSTRUCTION}"


def measure(quick: bool = False) -> list[Row]:
    """Returns the rows of the benchmark; about 40 s, quick about 10 s."""
    work = _generate(num_items=5_000 if quick else 26_673, num_turns=2 if quick else 5)
    searches: dict[str, Search] = {}
    build_seconds: dict[str, float] = {}
    for name, build in ENGINES.items():
        started = time.perf_counter()
        searches[name] = build(work.vectors, M, EF_CONSTRUCTION)
        build_seconds[name] = time.perf_counter() - started
    return [
        *_curve_rows(work, searches),
        *_serving_rows(work, searches),
        _row(f"build, {work.sizes}", "s", build_seconds, lower_is_better=True),
    ]


def _generate(num_items: int, num_turns: int, dim: int = 64) -> _Workload:
    random = np.random.default_rng(SEED)
    num_queries = 1_000
    plane = random.normal(size=(num_items + num_queries, 16))
    points = plane @ random.normal(size=(16, dim))
    points += 0.5 * random.normal(size=points.shape)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    vectors = points[:num_items].astype(np.float32)
    queries = points[num_items:].astype(np.float32)
    exact = FlatIndex.build(vectors, np.arange(num_items))
    return _Workload(vectors, queries, exact.search(queries, SERVING_K).ids, num_turns)


def _curve_rows(work: _Workload, searches: dict[str, Search]) -> list[Row]:
    """Queries a second at fixed recalls, interpolated on each engine's curve."""
    rates: dict[str, list[float]] = {name: [] for name in searches}
    recalls: dict[str, list[float]] = {name: [] for name in searches}
    for width in CURVE_WIDTHS:
        seconds = dict.fromkeys(searches, np.inf)
        for _ in range(work.num_turns):
            for name, search in searches.items():
                took, _ = _timed(search, work.queries, CURVE_K, width)
                seconds[name] = min(seconds[name], took)
        for name, search in searches.items():
            rates[name].append(len(work.queries) / seconds[name])
            found = search(work.queries, CURVE_K, width)
            recalls[name].append(_recall(found, work.truth[:, :CURVE_K]))
    rows = []
    for recall in RECALLS:
        at = {n: _rate_at(recall, recalls[n], rates[n]) for n in searches}
        text = f"batch of 1,000, recall@{CURVE_K} = {recall}, {work.sizes}"
        rows.append(_row(text, "QPS", at, lower_is_better=False, bar=1.0))
    return rows


def _serving_rows(work: _Workload, searches: dict[str, Search]) -> list[Row]:
    """One query a call, as a ranker asks: what a caller in Python waits."""
    spans: dict[str, list[float]] = {name: [] for name in searches}
    for _ in range(work.num_turns):
        for name, search in searches.items():
            for place in range(len(work.queries)):
                query = work.queries[place : place + 1]
                took, _ = _timed(search, query, SERVING_K, SERVING_EF)
                spans[name].append(took * 1e6)
    recalls = ", ".join(
        f"{name} {_recall(search(work.queries, SERVING_K, SERVING_EF), work.truth):.3f}"
        for name, search in searches.items()
    )
    text = (
        f"one query, k {SERVING_K}, ef_search {SERVING_EF}, {work.sizes}"
        f" (recall@{SERVING_K}: {recalls})"
    )
    medians = {name: float(np.median(s)) for name, s in spans.items()}
    tails = {name: float(np.percentile(s, 99)) for name, s in spans.items()}
    return [
        _row(text, "us p50", medians, lower_is_better=True, bar=1.0),
        _row("the same", "us p99", tails, lower_is_better=True, limit=1_000.0),
    ]


def _timed(
    search: Callable[..., Labels], queries: Floats, k: int, width: int
) -> tuple[float, Labels]:
    started = time.perf_counter()
    found = search(queries, k, width)
    return time.perf_counter() - started, found


def _recall(found: Labels, truth: npt.NDArray[np.int64]) -> float:
    hits = [np.isin(f, t).sum() for f, t in zip(found, truth, strict=True)]
    return float(np.sum(hits) / truth.size)


def _rate_at(recall: float, recalls: list[float], rates: list[float]) -> float:
    """The fastest point that reaches the recall, between two widths; 0 if none does."""
    best = 0.0
    for i, reached in enumerate(recalls):
        if reached < recall:
            continue
        best = max(best, rates[i])
        if i > 0 and recalls[i - 1] < recall:
            share = (recall - recalls[i - 1]) / (reached - recalls[i - 1])
            logs = np.log([rates[i - 1], rates[i]])
            best = max(best, float(np.exp(logs[0] + share * (logs[1] - logs[0]))))
    return best


def _row(
    work: str,
    unit: str,
    figures: dict[str, float],
    *,
    lower_is_better: bool,
    bar: float | None = None,
    limit: float | None = None,
) -> Row:
    peers = {name: value for name, value in figures.items() if name != OURS}
    ratio = ratio_to_best(figures[OURS], peers, lower_is_better)
    text, holds = "", True
    if bar is not None:
        text, holds = f">= {bar:g}x the best peer", ratio is not None and ratio >= bar
    if limit is not None:
        text, holds = f"<= {limit:,.0f} {unit}", figures[OURS] <= limit
    return {
        "work": work,
        "ours": figures[OURS],
        "unit": unit,
        "peers": peers,
        "ratio": ratio,
        "bar": text,
        "holds": holds,
    }
