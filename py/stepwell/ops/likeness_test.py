"""Likeness and the choice by it, against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import InvalidArgumentError
from stepwell.ops.likeness import choose_diverse, share_of_equal_codes


@settings(max_examples=50)
@given(st.integers(0, 40), st.integers(1, 7), st.integers(0, 99))
def test_share_counts_equal_known_codes(num_rows: int, columns: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 4, (num_rows, columns))
    equal = (codes[:, None] == codes[None]) & (codes[:, None] != 0)
    got = share_of_equal_codes(codes.astype(np.int32), 0)
    np.testing.assert_array_equal(got, (equal.sum(2) / columns).astype(np.float32))


@settings(max_examples=50)
@given(st.integers(1, 30), st.floats(0, 1), st.integers(0, 99))
def test_each_step_takes_the_greatest_margin(
    size: int, weight: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    # Few values: ties are common.
    relevance = rng.integers(0, 4, size) / 4.0
    alike = (rng.integers(0, 3, (size, size)) / 2.0).astype(np.float32)
    left, chosen = list(range(size)), list[int]()
    while left:
        margins = [
            (1.0 - weight) * relevance[i]
            - max((weight * float(alike[j, i]) for j in chosen), default=0.0)
            for i in left
        ]
        chosen.append(left.pop(int(np.argmax(margins))))
    assert choose_diverse(relevance, alike, weight, size).tolist() == chosen


def test_none_may_be_chosen() -> None:
    none = choose_diverse(np.zeros(0), np.zeros((0, 0), np.float32), 0.5, 0)
    assert none.tolist() == []


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"num_chosen is 3.*\[0, 2\]"):
        choose_diverse(np.zeros(2), np.zeros((2, 2), np.float32), 0.5, 3)
    with pytest.raises(InvalidArgumentError, match="likeness has shape"):
        choose_diverse(np.zeros(2), np.zeros((2, 3), np.float32), 0.5, 1)
