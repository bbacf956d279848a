"""The k best of many scores."""

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stepwell.retrieval.best_first import best_first

SCORES = hnp.arrays(np.float32, st.integers(0, 60), elements=st.integers(-3, 6))


@settings(max_examples=100, deadline=None)
@given(SCORES, st.integers(1, 70))
def test_equals_a_full_sort_with_ties_by_lower_row(
    scores: npt.NDArray[np.float32], limit: int
) -> None:
    order = sorted(np.flatnonzero(scores > 0), key=lambda row: (-scores[row], row))
    result = best_first(scores, limit)
    assert result.rows.tolist() == [int(row) for row in order[:limit]]


def test_non_finite_scores_are_left_out() -> None:
    scores = np.array([1.0, np.nan, np.inf, 2.0], np.float32)
    assert best_first(scores, 4).rows.tolist() == [3, 0]
