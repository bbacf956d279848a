"""The scores of all items against the dense matrix, and the best of them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import InvalidArgumentError
from stepwell.ops.co_occurrence import CategoryLift, CoOccurrenceTable

Floats = npt.NDArray[np.float32]


class _Model:
    """A table of seeded arrays, and what it is by definition."""

    def __init__(self, seed: int, num_items: int, dim: int, lifted: bool) -> None:
        rng = np.random.default_rng(seed)
        self.vectors = (
            rng.normal(size=(num_items, dim)).astype(np.float32),
            rng.normal(size=(num_items, dim)).astype(np.float32),
        )
        near = rng.integers(-1, num_items, (num_items, 5)).astype(np.int32)
        spread = rng.normal(size=near.shape).astype(np.float32)
        spread[near < 0] = 0
        self.neighbours = (near, spread)
        codes = rng.integers(0, 7, num_items).astype(np.int32)
        lifts = rng.random(num_items).astype(np.float32)
        self.lift = CategoryLift(codes, lifts, 0.4, 1e-4) if lifted else None
        self.table = CoOccurrenceTable(self.vectors, self.neighbours, self.lift)
        self.num_items = num_items

    def history(self, seed: int, size: int) -> tuple[npt.NDArray[np.int64], Floats]:
        rng = np.random.default_rng(seed)
        rows = rng.integers(-1, self.num_items, size)
        return rows, rng.random(size).astype(np.float32) + np.float32(0.1)

    def defined(self, rows: npt.NDArray[np.int64], weights: Floats) -> Floats:
        rows, weights = rows[rows >= 0], weights[rows >= 0]
        matrix = (self.vectors[0].astype(np.float64) @ self.vectors[1].T)[rows]
        for line, near, spread in zip(
            matrix, self.neighbours[0][rows], self.neighbours[1][rows], strict=True
        ):
            np.add.at(line, near[near >= 0], spread[near >= 0])
        scores = weights @ matrix
        if self.lift is not None:
            mass = np.bincount(self.lift.codes[rows], weights, 7)
            share = mass / max(mass.sum(), 1e-9)
            factors = (share + self.lift.floor) ** self.lift.power
            scores = scores * factors[self.lift.codes] * self.lift.lifts
        return np.asarray(scores, np.float32)


@settings(max_examples=60)
@given(
    st.integers(0, 99),
    st.sampled_from([1, 40, 1_023, 1_025, 2_100]),
    st.sampled_from([0, 1, 17, 64]),
    st.integers(0, 30),
    st.booleans(),
)
def test_scores_are_those_of_the_matrix(
    seed: int, num_items: int, dim: int, size: int, lifted: bool
) -> None:
    model = _Model(seed, num_items, dim, lifted)
    rows, weights = model.history(seed, size)
    want = model.defined(rows, weights)
    # Twice: what the first call leaves in its memory must not reach the second.
    for _ in range(2):
        got = model.table.scores(rows, weights)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


@settings(max_examples=40)
@given(st.integers(0, 99), st.integers(1, 700))
def test_the_best_are_the_head_of_all_positive_scores(seed: int, limit: int) -> None:
    model = _Model(seed, 600, 8, True)
    rows, weights = model.history(seed, 20)
    scores = model.table.scores(rows, weights)
    order = np.lexsort((np.arange(600), -scores))
    order = order[scores[order] > 0][:limit]
    best_rows, best_scores = model.table.best(rows, weights, limit)
    assert best_rows.tolist() == order.tolist()
    assert best_scores.tolist() == scores[order].tolist()


def test_scores_that_are_not_finite_are_never_best() -> None:
    near = np.array([[0, 1, 2]] * 3, np.int32)
    spread = np.array([[1.0, np.nan, np.inf]] * 3, np.float32)
    none = np.zeros((3, 0), np.float32)
    table = CoOccurrenceTable((none, none), (near, spread), None)
    best_rows, _ = table.best(np.array([0]), np.ones(1, np.float32), 3)
    assert best_rows.tolist() == [0]


def test_calls_of_many_threads_do_not_mix() -> None:
    model = _Model(5, 3_000, 16, True)
    histories = [model.history(seed, 25) for seed in range(8)]
    alone = [model.table.best(*one, 50)[0].tolist() for one in histories]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            found = pool.map(lambda h: model.table.best(h[0], h[1], 50), histories)
            assert [rows.tolist() for rows, _ in found] == alone


def test_what_does_not_fit_is_refused_by_name() -> None:
    model = _Model(1, 10, 2, True)
    one = np.ones(1, np.float32)
    with pytest.raises(InvalidArgumentError, match=r"rows is 10, must be in \[-1, 9\]"):
        model.table.best(np.array([10]), one, 3)
    with pytest.raises(InvalidArgumentError, match="limit is 0"):
        model.table.best(np.array([1]), one, 0)
    with pytest.raises(InvalidArgumentError, match="weights has shape"):
        model.table.scores(np.array([1, 2]), one)
    near = model.neighbours[0].copy()
    near[3, 3] = 10
    shorter = (model.vectors[0], model.vectors[1][:9])
    with pytest.raises(InvalidArgumentError, match="neighbour_rows is 10"):
        CoOccurrenceTable(model.vectors, (near, model.neighbours[1]), None)
    with pytest.raises(InvalidArgumentError, match="output_vectors has shape"):
        CoOccurrenceTable(shorter, model.neighbours, None)
