"""Popular by segment and overall, and trending, as of a snapshot."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.retrieval.popular_lists import PopularLists
from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.training.split import Snapshot

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PopularityOptions:
    """Options of the lists.

    Attributes:
        window_days: "popular" counts distinct buyers of so many last days.
        trend_days: "trending" holds so many last days against those before.
        trend_base_days: how many days before those are the base.
        segment_weight: buyers that a segment needs for its own list to weigh as much as
            the global one (a smoothing prior).
        length: items of a list, K.
        new_days: an item is new for so many days from when it was first seen, and for
            at most a quarter of the data's time.
        max_new: new items at most.
    """

    window_days: int = 28
    trend_days: int = 14
    trend_base_days: int = 56
    segment_weight: float = 1_000.0
    length: int = 500
    new_days: int = 28
    max_new: int = 500


def popular_lists(
    snapshot: Snapshot, options: PopularityOptions | None = None
) -> PopularLists:
    """Returns the lists of a snapshot; ties by lower row.

    Distinct buyers, not purchases, so that one household's daily milk is one voice; a
    recent window, for it beats the whole year on new items (NDCG@10 0.054 : 0.040).
    """
    options = options or PopularityOptions()
    start = snapshot.cut_time - options.window_days * DAY_SECONDS
    buyers = snapshot.distinct_buyers(start, snapshot.cut_time).astype(np.float64)
    length = min(options.length, snapshot.num_items)
    rows, scores = _ranked(buyers, length)
    segment_rows, segment_scores = _segment_lists(snapshot, buyers, start, options)
    trending_rows, trending_scores = _ranked(_growth(snapshot, options), length)
    return PopularLists(
        global_rows=rows,
        global_scores=scores,
        segment_rows=segment_rows,
        segment_scores=segment_scores,
        trending_rows=trending_rows,
        trending_scores=trending_scores,
        segment_names=snapshot.table.segment_names,
        new_rows=new_items(snapshot, options.new_days)[: options.max_new],
    )


def new_items(snapshot: Snapshot, new_days: int = 28) -> npt.NDArray[np.int32]:
    """Returns the rows of the items first seen lately, the most bought first.

    Args:
        snapshot: as of the cut.
        new_days: see PopularityOptions; no item is new because the data begin there.
    """
    first_seen = np.full(snapshot.num_items, snapshot.cut_time, np.int64)
    np.minimum.at(first_seen, snapshot.item_rows, snapshot.times)
    span = snapshot.cut_time - int(snapshot.times[0])
    begin = snapshot.cut_time - min(new_days * DAY_SECONDS, span // 4)
    rows = np.flatnonzero(first_seen >= begin).astype(np.int32)
    buyers = snapshot.distinct_buyers(begin, snapshot.cut_time)[rows]
    return rows[np.argsort(-buyers, kind="stable")]


def _segment_lists(
    snapshot: Snapshot, buyers: FloatArray, start: int, options: PopularityOptions
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """A segment's buyers, shrunk to the global list where the segment is small."""
    num_segments = len(snapshot.table.segment_names)
    length = min(options.length, snapshot.num_items)
    rows = np.full((num_segments, length), -1, np.int32)
    scores = np.zeros((num_segments, length), np.float32)
    first = int(np.searchsorted(snapshot.times, start))
    segments = snapshot.table.user_segments[snapshot.user_rows[first:]]
    users, items = snapshot.user_rows[first:], snapshot.item_rows[first:]
    prior = buyers / max(buyers.sum(), 1.0)
    for segment in range(num_segments):
        counts = buyers
        if segment:
            own = segments == segment
            pair = users[own].astype(np.int64) * snapshot.num_items + items[own]
            distinct = np.unique(pair) % snapshot.num_items
            counts = np.bincount(distinct, minlength=snapshot.num_items).astype(float)
            counts += options.segment_weight * prior
        best, score = _ranked(counts, length)
        rows[segment, : len(best)], scores[segment, : len(best)] = best, score
    return rows, scores


def _growth(snapshot: Snapshot, options: PopularityOptions) -> FloatArray:
    """Returns float64 [N]: a lower bound of how much more is bought now than before.

    Both rates are per day and smoothed by one buyer a base period; the score is the
    growth in standard deviations of a Poisson count, so that 1 -> 3 does not beat
    100 -> 200.
    """
    middle = snapshot.cut_time - options.trend_days * DAY_SECONDS
    begin = middle - options.trend_base_days * DAY_SECONDS
    now = snapshot.distinct_buyers(middle, snapshot.cut_time)
    before = snapshot.distinct_buyers(begin, middle) + 1.0
    expected = before * options.trend_days / options.trend_base_days
    grown: FloatArray = np.maximum(now - expected, 0.0) / np.sqrt(expected + 1.0)
    return grown


def _ranked(
    counts: FloatArray, length: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    order = np.argsort(-counts, kind="stable")[:length]
    order = order[counts[order] > 0]
    return order.astype(np.int32), counts[order].astype(np.float32)
