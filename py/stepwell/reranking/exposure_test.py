"""Shares of a slate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.errors import InvalidArgumentError
from stepwell.reranking.exposure import Exposure, ExposureLimit
from stepwell.reranking.item_traits import CategoricalColumn, ItemTraits

BRAND = CategoricalColumn(np.array([1, 1, 1, 2, 1, 3, 0, 0, 0]))
MAKER = CategoricalColumn(np.array([3, 3, 4, 4, 4, 4, 4, 0, 0]))
TRAITS = ItemTraits(categories={"brand": BRAND, "maker": MAKER})
ROWS = np.arange(9)


def test_what_exceeds_the_share_goes_below_the_rest_in_order() -> None:
    exposure = Exposure(TRAITS, [ExposureLimit("brand", max_share=0.4)])
    order, num_within = exposure.order(ROWS, num_items=5)
    assert order.tolist() == [0, 1, 3, 5, 6, 7, 8, 2, 4]
    assert num_within == 7


def test_a_count_caps_the_share() -> None:
    limit = ExposureLimit("brand", max_share=0.4, max_items=1)
    assert limit.quota(5) == 1
    assert ExposureLimit("brand", max_share=0.4).quota(5) == 2
    assert ExposureLimit("brand", max_share=0.01).quota(5) == 1


def test_items_without_a_value_share_no_limit() -> None:
    limit = ExposureLimit("brand", max_items=1)
    order, _ = Exposure(TRAITS, [limit]).order(np.array([6, 7, 8]), num_items=3)
    assert order.tolist() == [0, 1, 2]


def test_every_limit_holds_among_those_within() -> None:
    limits = [ExposureLimit("brand", max_items=2), ExposureLimit("maker", max_items=2)]
    order, num_within = Exposure(TRAITS, limits).order(ROWS, num_items=9)
    within = ROWS[order[:num_within]]
    assert within.tolist() == [0, 1, 3, 5, 7, 8]


def test_no_limit_keeps_everything_in_order() -> None:
    order, num_within = Exposure(TRAITS, []).order(ROWS, num_items=3)
    assert order.tolist() == ROWS.tolist()
    assert num_within == 9


def test_a_limit_on_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'color' does not exist.*brand"):
        Exposure(TRAITS, [ExposureLimit("color")])


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, float("nan")])
def test_a_share_outside_of_its_range_is_refused(share: float) -> None:
    with pytest.raises(InvalidArgumentError, match="max_share of brand"):
        ExposureLimit("brand", max_share=share)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="max_items of brand is -1"):
        ExposureLimit("brand", max_items=-1)


@given(
    values=st.lists(st.integers(0, 6), max_size=40),
    num_items=st.integers(1, 20),
    share=st.floats(0.05, 1),
)
def test_no_value_exceeds_its_quota_among_those_within(
    values: list[int], num_items: int, share: float
) -> None:
    column = np.array(values, np.int32)
    limit = ExposureLimit("c", max_share=share)
    exposure = Exposure(
        ItemTraits(categories={"c": CategoricalColumn(column)}), [limit]
    )
    order, num_within = exposure.order(np.arange(len(values)), num_items)
    assert sorted(order.tolist()) == list(range(len(values)))
    within = column[order[:num_within]]
    for value in set(values) - {0}:
        assert (within == value).sum() == min(
            limit.quota(num_items), values.count(value)
        )
