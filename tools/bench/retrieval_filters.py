"""Filtered search: shares of the items from 0.01 % to 90 %, and one correlated filter.

hnswlib stands beside it with a filter in Python, which is called for the nodes that its
walk meets; it raises where fewer than k items are found.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.retrieval_data import NUM_CLUSTERS, SEED, Workload, exact_neighbours
from bench.retrieval_engines import Hnswlib, Stepwell
from bench.retrieval_figures import OURS, Bar, Labels, Row, recall_of, row, say, timed
from stepwell.index.item_filter import IdSet, id_set

SHARES = (0.0001, 0.01, 0.1, 0.5, 0.9)
EF = 200
LEAST_RECALL = 0.95
P99_LIMIT_MS = 10.0
PEER_SECONDS = 5.0

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a way of searching answered, and the milliseconds of each query."""

    recall: float
    spans: list[float]
    num_failed: int = 0
    strategy: str = ""

    @property
    def p99(self) -> float:
        return float(np.percentile(self.spans, 99))


def filters_of(num_items: int) -> Iterator[tuple[str, Flags]]:
    """Yields filters by name: random shares, then a tenth of the clusters."""
    random = np.random.default_rng((SEED, 3))
    for share in SHARES:
        flags = np.zeros(num_items, np.bool_)
        count = max(1, round(share * num_items))
        flags[random.choice(num_items, count, replace=False)] = True
        yield f"{share:.2%}".replace(".00", "") + " of items, at random", flags
    clusters = random.choice(NUM_CLUSTERS, NUM_CLUSTERS // 10, replace=False)
    yield (
        "10% of items, whole clusters",
        np.isin(np.arange(num_items) % NUM_CLUSTERS, clusters),
    )


def filter_rows(work: Workload, ours: Stepwell, peer: Hnswlib | None) -> list[Row]:
    """Returns p99 of one filtered query a call, recall beside it.

    Args:
        work: the vectors; its `truth` is not used.
        ours: over them.
        peer: over them; None leaves it out.
    """
    rows = []
    for name, flags in filters_of(len(work.vectors)):
        say(f"filters: {name}")
        allowed = np.flatnonzero(flags)
        truth = exact_neighbours(
            work.vectors, work.queries, work.k, work.metric, allowed
        )
        found = _ask_ours(work, ours, id_set(allowed, len(flags)), truth)
        beside = _ask_hnswlib(work, peer, flags, truth) if peer else None
        rows.append(_row(work, name, found, beside))
    return rows


def _row(work: Workload, name: str, found: _Asked, beside: _Asked | None) -> Row:
    told = f"recall@{work.k} {found.recall:.4f} by {found.strategy}"
    figures = {OURS: found.p99}
    if beside is not None:
        told += f"; hnswlib {beside.recall:.4f}"
        if beside.num_failed:
            told += f", {beside.num_failed} of {len(beside.spans)} queries raised"
        figures["hnswlib, Python filter"] = beside.p99
    return row(
        f"filter: {name}, {work.sizes}, ef {EF} ({told})",
        "ms p99",
        figures,
        lower_is_better=True,
        bar=Bar(
            limit=P99_LIMIT_MS,
            holds=found.recall >= LEAST_RECALL,
            also=f"recall >= {LEAST_RECALL}",
        ),
    )


def _ask_ours(work: Workload, ours: Stepwell, allowed: IdSet, truth: Labels) -> _Asked:
    strategies: dict[str, int] = {}
    spans, found = [], []
    for query in work.queries:
        took, result = timed(
            ours.index.search, query[None], work.k, ef_search=EF, allowed=allowed
        )
        spans.append(took * 1e3)
        found.append(result.ids)
        strategies[result.strategy] = strategies.get(result.strategy, 0) + 1
    used = max(strategies, key=lambda name: strategies[name])
    return _Asked(recall_of(np.concatenate(found), truth), spans, strategy=used)


def _ask_hnswlib(work: Workload, peer: Hnswlib, flags: Flags, truth: Labels) -> _Asked:
    """As many queries as PEER_SECONDS allow, at least one."""
    passes: Callable[[int], bool] = flags.tolist().__getitem__
    peer.set_width(EF)
    spans: list[float] = []
    found: list[Labels] = []
    num_failed = 0
    while sum(spans) < PEER_SECONDS * 1e3 and len(spans) < len(work.queries):
        query = work.queries[len(spans)][None]
        took, ids = timed(_filtered, peer, query, work.k, passes)
        spans.append(took * 1e3)
        num_failed += ids is None
        found.append(np.full((1, work.k), -1) if ids is None else ids)
    recall = recall_of(np.concatenate(found), truth[: len(found)])
    return _Asked(recall, spans, num_failed)


def _filtered(
    peer: Hnswlib, query: npt.NDArray[np.float32], k: int, passes: Callable[[int], bool]
) -> Labels | None:
    """The ids, or None where hnswlib raises for want of k results."""
    try:
        labels, _ = peer.index.knn_query(query, k, num_threads=1, filter=passes)
    except RuntimeError:
        return None
    return np.asarray(labels, np.int64)
