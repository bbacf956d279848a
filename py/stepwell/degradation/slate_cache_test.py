"""The slate cache: fresh, bounded, newest wins."""

import numpy as np
import pytest

from stepwell.degradation.slate_cache import CachedSlate, SlateCache


def _slate(made_us: int, *rows: int) -> CachedSlate:
    scores = np.zeros(len(rows), np.float32)
    return CachedSlate(np.array(rows, np.int64), scores, segment_row=3, made_us=made_us)


def test_serves_a_slate_within_its_freshness_window_only() -> None:
    cache = SlateCache(max_users=10, freshness_us=1_000)
    cache.put("u", _slate(500, 7, 8))
    fresh = cache.fresh("u", now_us=1_500)
    assert fresh is not None
    assert fresh.rows.tolist() == [7, 8]
    assert cache.fresh("u", now_us=1_501) is None


def test_the_segment_outlives_the_slate() -> None:
    cache = SlateCache(max_users=10, freshness_us=1)
    cache.put("u", _slate(0, 7))
    assert cache.fresh("u", now_us=99) is None
    assert cache.segment_row("u") == 3
    assert cache.segment_row("stranger") == 0


def test_the_least_recently_used_user_goes_first() -> None:
    cache = SlateCache(max_users=2, freshness_us=1_000)
    cache.put("a", _slate(0, 1))
    cache.put("b", _slate(0, 2))
    assert cache.fresh("a", 1) is not None
    cache.put("c", _slate(0, 3))
    assert len(cache) == 2
    assert cache.fresh("b", 1) is None
    assert cache.fresh("a", 1) is not None


def test_a_short_new_slate_keeps_the_tail_of_a_longer_fresh_one() -> None:
    cache = SlateCache(max_users=2, freshness_us=1_000)
    cache.put("a", _slate(5, 1, 2, 3, 4))
    cache.put("a", _slate(9, 3, 9))
    fresh = cache.fresh("a", 10)
    assert fresh is not None
    assert fresh.rows.tolist() == [3, 9, 1, 2]
    assert len(fresh.scores) == 4
    assert fresh.made_us == 5  # it says the age of its older part


def test_a_tail_that_is_not_fresh_is_dropped() -> None:
    cache = SlateCache(max_users=2, freshness_us=1_000)
    cache.put("a", _slate(5, 1, 2, 3))
    cache.put("a", _slate(1_006, 3))
    fresh = cache.fresh("a", 1_007)
    assert fresh is not None
    assert fresh.rows.tolist() == [3]


def test_a_new_slate_of_full_length_replaces_the_old_one() -> None:
    cache = SlateCache(max_users=2, freshness_us=1_000)
    cache.put("a", _slate(5, 1, 2))
    cache.put("a", _slate(9, 3, 4))
    fresh = cache.fresh("a", 10)
    assert fresh is not None
    assert (fresh.rows.tolist(), fresh.made_us) == ([3, 4], 9)


def test_a_late_older_slate_does_not_replace_a_newer_one() -> None:
    cache = SlateCache(max_users=2, freshness_us=1_000)
    cache.put("a", _slate(9, 1))
    cache.put("a", _slate(5, 2))
    fresh = cache.fresh("a", 10)
    assert fresh is not None
    assert fresh.rows.tolist() == [1]


def test_forget_drops_one_user() -> None:
    cache = SlateCache(max_users=2, freshness_us=1_000)
    cache.put("a", _slate(0, 1))
    cache.forget("a")
    cache.forget("stranger")
    assert cache.fresh("a", 0) is None


def test_refuses_a_bound_below_one() -> None:
    with pytest.raises(ValueError, match="max_users is 0"):
        SlateCache(max_users=0, freshness_us=1)


def test_a_cleared_cache_holds_nothing_and_takes_slates_again() -> None:
    cache = SlateCache(3, 100)
    for user in "abc":
        cache.put(user, _slate(0, 1))
    cache.clear()
    assert len(cache) == 0 and cache.fresh("a", 1) is None
    cache.put("a", _slate(0, 2))
    assert len(cache) == 1
