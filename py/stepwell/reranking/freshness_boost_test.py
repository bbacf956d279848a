"""The head start of new items."""

import numpy as np
import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.reranking.freshness_boost import FreshnessBoost
from stepwell.reranking.item_traits import ItemTraits

DAY = 86_400
NOW = 1_500_000_000
FIRST_SEEN = NOW - np.array([400, 400, 1, 14, 0]) * DAY
SCORES = np.array([0.9, 0.8, 0.7, 0.6, -np.inf], np.float32)
ROWS = np.arange(5)


def _order(weight: float, event_time: int = NOW) -> list[int]:
    boost = FreshnessBoost(ItemTraits(first_seen=FIRST_SEEN), weight)
    order: list[int] = boost.order(ROWS, SCORES, event_time).tolist()
    return order


def test_off_keeps_the_order() -> None:
    assert _order(0.0) == [0, 1, 2, 3, 4]


def test_lifts_a_new_item_by_its_age() -> None:
    # The scores' deviation is 0.112: a day-old item gains 1.9 of 2 of them, a
    # fortnight-old one gains 1.
    assert _order(2.0) == [2, 0, 1, 3, 4]
    assert _order(3.0) == [2, 0, 1, 3, 4]
    assert _order(8.0) == [2, 3, 0, 1, 4]


def test_a_score_that_is_not_finite_stays_at_the_end_however_new_the_item() -> None:
    assert _order(100.0)[-1] == 4


def test_an_item_of_the_future_counts_as_brand_new() -> None:
    assert _order(8.0, event_time=NOW - 1000 * DAY) == [0, 1, 2, 3, 4]


def test_without_first_seen_nothing_is_lifted() -> None:
    order = FreshnessBoost(ItemTraits(), 5.0).order(ROWS, SCORES, NOW)
    assert order.tolist() == ROWS.tolist()


@pytest.mark.parametrize(("weight", "half_life"), [(-1.0, 1), (1.0, 0)])
def test_settings_out_of_range_are_refused(weight: float, half_life: int) -> None:
    with pytest.raises(InvalidArgumentError, match="freshness"):
        FreshnessBoost(ItemTraits(), weight, half_life)
