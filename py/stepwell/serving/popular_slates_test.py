"""Slates from memory: whose items, in which order, and never what is not allowed."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.degradation.slate_cache import CachedSlate, SlateCache
from stepwell.pipeline.query import Query
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.schema.vocabulary import RowArray
from stepwell.serving.popular_slates import MemorySlates

NUM_ITEMS = 20
GLOBAL = np.arange(10, dtype=np.int32)  # 0 is the most popular
FRESH_US = 1_000_000


class _Deny:
    """Denies the rows it is given."""

    def __init__(self, *denied: int) -> None:
        self.denied = list(denied)

    def allowed(self, rows: RowArray) -> npt.NDArray[np.bool_]:
        return ~np.isin(rows, self.denied)


def _lists() -> PopularLists:
    falling = np.linspace(1.0, 0.1, 10, dtype=np.float32)
    segment = np.array([GLOBAL, [15, 16, *[-1] * 8]], np.int32)
    return PopularLists(
        GLOBAL,
        falling,
        segment,
        np.tile(falling, (2, 1)),
        GLOBAL,
        falling,
        ("", "young"),
    )


class _Bench:
    def __init__(self, *denied: int) -> None:
        self.clock = FakeClock()
        self.cache = SlateCache(max_users=10, freshness_us=FRESH_US)
        self.slates = MemorySlates(
            self.cache, _lists(), _Deny(*denied), self.clock, NUM_ITEMS
        )

    def remember(self, *rows: int, segment_row: int = 0) -> None:
        scores = np.array([0.9] * len(rows), np.float32)
        slate = CachedSlate(np.array(rows), scores, segment_row, made_us=0)
        self.cache.put("u", slate)

    def rows(self, **changes: object) -> list[int]:
        query = Query("r", "u", 5, 0, Deadline.after_us(self.clock, 10_000))
        query = replace(query, **changes)  # type: ignore[arg-type]
        rows: list[int] = self.slates.slate(query).ranked.candidates.rows.tolist()
        return rows


def test_a_stranger_gets_the_global_list() -> None:
    assert _Bench().rows() == [0, 1, 2, 3, 4]


def test_a_known_user_gets_the_last_slate_filled_up_from_the_popular_list() -> None:
    bench = _Bench()
    bench.remember(12, 3)
    assert bench.rows() == [12, 3, 0, 1, 2]
    query = Query("r", "u", 3, 0, Deadline.after_us(bench.clock, 10_000))
    bench.clock.advance_us(250_000)
    slate = bench.slates.slate(query)
    assert slate.cached_age_us == 250_000
    assert slate.ranked.scores == pytest.approx([0.9, 0.9, 0.0])


def test_once_the_slate_is_stale_the_segment_is_still_known() -> None:
    bench = _Bench()
    bench.remember(12, 3, segment_row=1)
    bench.clock.advance_us(FRESH_US + 1)
    assert bench.rows() == [15, 16, 0, 1, 2]


def test_a_denied_item_never_appears() -> None:
    bench = _Bench(0, 12)
    assert bench.rows() == [1, 2, 3, 4, 5]
    bench.remember(12, 3)
    assert bench.rows() == [3, 1, 2, 4, 5]
    assert bench.rows(given_rows=np.array([12, 0, 1])) == [1]


def test_excluded_items_are_left_out_and_replaced() -> None:
    bench = _Bench()
    bench.remember(12, 3)
    assert bench.rows(excluded_rows=np.array([12, 0])) == [3, 1, 2, 4, 5]


def test_given_candidates_are_ordered_by_popularity_then_row() -> None:
    bench = _Bench()
    assert bench.rows(given_rows=np.array([19, 7, 18, 2])) == [2, 7, 18, 19]


def test_gives_fewer_when_fewer_are_allowed() -> None:
    assert _Bench(*range(8)).rows() == [8, 9]
