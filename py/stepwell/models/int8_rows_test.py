"""int8 rows: near what they stand for, and refused when damaged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from stepwell.base.errors import DataLossError
from stepwell.models.int8_rows import float_rows, int8_rows

TABLES = npst.arrays(
    np.float32,
    st.tuples(st.integers(0, 9), st.integers(1, 5)),
    elements=st.floats(-1e6, 1e6, width=32),
)


@given(table=TABLES)
def test_a_value_is_off_by_half_a_step_of_its_row(table: np.ndarray) -> None:
    codes, scales = int8_rows(table)
    again = float_rows("t", codes, scales)
    assert again.dtype == np.float32
    steps = np.abs(table).max(axis=1, initial=0.0) / 127
    assert (np.abs(again - table) <= 0.501 * steps[:, None] + 1e-30).all()


def test_codes_of_codes_are_the_same() -> None:
    table = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    codes, scales = int8_rows(table)
    again, _ = int8_rows(float_rows("t", codes, scales))
    np.testing.assert_array_equal(again, codes)


@pytest.mark.parametrize(
    ("codes", "scales"),
    [
        (np.ones((2, 3), np.float32), np.ones(2, np.float32)),
        (np.ones((2, 3), np.int8), np.ones(3, np.float32)),
        (np.ones((2, 3), np.int8), np.ones(2, np.float64)),
        (np.ones((2, 3), np.int8), np.array([1, np.nan], np.float32)),
        (np.ones((2, 3), np.int8), np.array([1, -1], np.float32)),
        (np.ones(2, np.int8), np.ones(2, np.float32)),
        (np.ones((2, 3), np.int8), None),
    ],
)
def test_what_is_no_table_is_refused(codes: np.ndarray, scales: object) -> None:
    with pytest.raises(DataLossError, match=r"tables\.0 is no table of int8 rows"):
        float_rows("tables.0", codes, scales)
