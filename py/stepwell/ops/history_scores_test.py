"""Scores of a history against their definitions in numpy."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import InvalidArgumentError
from stepwell.ops.history_scores import affinity_weights, pooled_rows, repeat_scores

NOW, DAY = 1_500_000_000, 86_400
Columns = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]


def _columns(size: int, seed: int = 0) -> Columns:
    rng = np.random.default_rng(seed)
    first = NOW - rng.integers(-DAY, 400 * DAY, size)
    last = first + rng.integers(0, 100 * DAY, size)
    return rng.integers(1, 30, size).astype(np.int32), first, last


def _want_weights(columns: Columns, half_life: float) -> npt.NDArray[np.float32]:
    count, first, last = columns
    age = np.maximum(NOW - (first + last) / 2.0, 0.0)
    return np.sqrt(count * np.exp2(-age / half_life)).astype(np.float32)


def _want_repeats(columns: Columns) -> npt.NDArray[np.float32]:
    count, first, last = columns
    span = (last - first) / DAY
    interval = np.where(count > 1, span / np.maximum(count - 1, 1), 60.0)
    half_life = np.maximum(2.0 * interval, 60.0)
    age = np.maximum(NOW - last, 0) / DAY + np.where(count > 1, span / 2.0, 0.0)
    return (count * np.exp2(-age / half_life)).astype(np.float32)


@pytest.mark.parametrize("size", [0, 1, 33, 250])
def test_both_scores_are_their_definitions(size: int) -> None:
    columns = _columns(size)
    np.testing.assert_allclose(
        affinity_weights(*columns, NOW, 90.0 * DAY),
        _want_weights(columns, 90.0 * DAY),
        rtol=2e-7,
    )
    np.testing.assert_allclose(
        repeat_scores(*columns, NOW), _want_repeats(columns), rtol=2e-7
    )


def test_columns_may_lie_at_odd_addresses() -> None:
    columns = _columns(9)
    blob = b"x" + b"".join(column.tobytes() for column in columns)
    odd = (
        np.frombuffer(blob, np.int32, 9, 1),
        np.frombuffer(blob, np.int64, 9, 37),
        np.frombuffer(blob, np.int64, 9, 109),
    )
    assert not odd[1].flags.aligned
    straight = affinity_weights(*columns, NOW, float(DAY))
    assert affinity_weights(*odd, NOW, float(DAY)).tolist() == straight.tolist()
    assert repeat_scores(*odd, NOW).tolist() == repeat_scores(*columns, NOW).tolist()


def test_columns_that_do_not_fit_are_refused_by_name() -> None:
    count, first, last = _columns(4)
    with pytest.raises(InvalidArgumentError, match="num_purchases is int64"):
        affinity_weights(count.astype(np.int64), first, last, NOW, 1.0)
    with pytest.raises(InvalidArgumentError, match=r"last_time has shape \(3,\)"):
        repeat_scores(count, first, last[:3], NOW)
    with pytest.raises(InvalidArgumentError, match="first_time is int64"):
        repeat_scores(count, np.repeat(first, 2)[::2], last, NOW)


@settings(max_examples=60)
@given(
    st.integers(0, 70),
    st.sampled_from([1, 3, 15, 16, 17, 64, 65, 130]),
    st.integers(0, 99),
)
def test_pooled_rows_are_the_weighted_sum_without_the_unknown(
    num_rows: int, dim: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(20, dim)).astype(np.float32)
    rows = rng.integers(-1, 20, num_rows)
    weights = rng.normal(size=num_rows).astype(np.float32)
    known = rows >= 0
    want = weights[known].astype(np.float64) @ vectors[rows[known]]
    got = pooled_rows(vectors, rows, weights)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("row", [-2, 3])
def test_a_row_that_does_not_exist_is_refused(row: int) -> None:
    vectors, one = np.ones((3, 4), np.float32), np.ones(1, np.float32)
    with pytest.raises(InvalidArgumentError, match=rf"rows is {row}, must be in \[-1"):
        pooled_rows(vectors, np.array([row]), one)
