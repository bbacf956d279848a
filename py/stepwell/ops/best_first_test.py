"""The order: by score, ties by row, what is not finite last."""

from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stepwell.base.errors import InvalidArgumentError
from stepwell.ops.best_first import order_best_first

SCORES = hnp.arrays(np.float32, st.integers(0, 80), elements=st.integers(-3, 3))


@settings(max_examples=80)
@given(SCORES, st.integers(0, 90), st.randoms(use_true_random=False))
def test_equals_a_full_sort_with_ties_by_lower_row(
    scores: npt.NDArray[np.float32], limit: int, random: Random
) -> None:
    rows = np.array(random.sample(range(1_000), len(scores)), np.int64)
    want = np.lexsort((rows, -scores))[:limit]
    assert order_best_first(scores, rows, limit).tolist() == want.tolist()


def test_equal_rows_keep_their_places() -> None:
    scores, rows = np.ones(5, np.float32), np.array([7, 3, 7, 3, 7])
    assert order_best_first(scores, rows, 5).tolist() == [1, 3, 0, 2, 4]


def test_what_is_not_finite_comes_last() -> None:
    scores = np.array([1.0, np.nan, -np.inf, 2.0, -5.0], np.float32)
    order = order_best_first(scores, np.arange(5), 5)
    assert order.tolist() == [3, 0, 4, 1, 2]


@pytest.mark.parametrize(
    ("rows", "limit", "message"),
    [
        (np.array([0, -1]), 2, "rows is -1, must be in"),
        (np.array([0, 1 << 38]), 2, "rows is 274877906944, must be in"),
        (np.array([0, 1], np.int32), 2, "rows is int32, must be .* int64"),
        (np.array([0, 1, 2]), 2, r"rows has shape \(3,\), must be \(2,\)"),
        (np.array([0, 1]), -1, "limit is -1"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    rows: npt.NDArray[np.int64], limit: int, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        order_best_first(np.ones(2, np.float32), rows, limit)
