import math

import pytest

from stepwell.serving.slate_difference import ShownItems, difference_of


def shown(ids: str, *scores: float) -> ShownItems:
    return ShownItems(tuple(ids), scores or (0.5,) * len(ids))


def test_the_same_slate_does_not_differ() -> None:
    found = difference_of(shown("abc", 0.3, 0.2, 0.1), shown("abc", 0.3, 0.2, 0.1))
    assert (found.overlap, found.rank_correlation, found.score_gap) == (1.0, 1.0, 0.0)


def test_a_slate_upside_down_has_all_items_in_the_opposite_order() -> None:
    found = difference_of(shown("abcd"), shown("dcba"))
    assert (found.overlap, found.rank_correlation) == (1.0, -1.0)


def test_only_items_in_both_slates_are_compared_by_rank_and_score() -> None:
    found = difference_of(
        shown("axbc", 0.9, 0.8, 0.7, 0.6), shown("bca", 0.5, 0.5, 0.5)
    )
    assert found.overlap == 0.75
    # a b c against b c a: squares 4, 1, 1.
    assert found.rank_correlation == pytest.approx(1 - 6 * 6 / (3 * 8))
    assert found.score_gap == pytest.approx((0.4 + 0.2 + 0.1) / 3)


def test_slates_without_a_common_item_have_no_correlation() -> None:
    found = difference_of(shown("ab"), shown("cd"))
    assert found.overlap == 0.0
    assert math.isnan(found.rank_correlation)
    assert math.isnan(found.score_gap)
    assert difference_of(shown(""), shown("")).overlap == 1.0
    assert math.isnan(difference_of(shown("a"), shown("a")).rank_correlation)
