"""The co-occurrence model against the dense, primal EASE."""

import numpy as np
import numpy.typing as npt
import pytest

from stepwell.training.co_occurrence import (
    CoOccurrenceOptions,
    _item_scale,
    _recency,
    train_co_occurrence,
)
from stepwell.training.split import Snapshot

LAMBDA = 5.0


def _dense(known: Snapshot, options: CoOccurrenceOptions) -> npt.NDArray[np.float64]:
    """Steck 2019, eq. 8, by inverting the [N, N] matrix; scaled as the model is."""
    matrix = known.affinity_matrix()
    scale = _item_scale(matrix, options).astype(np.float64)
    scaled = matrix.toarray() * scale
    inverse = np.linalg.inv(scaled.T @ scaled + LAMBDA * np.eye(known.num_items))
    ease = -inverse / np.diag(inverse)
    np.fill_diagonal(ease, 0.0)
    result: npt.NDArray[np.float64] = ease * scale[:, None] * _recency(known, options)
    return result


def _reconstructed(
    known: Snapshot, options: CoOccurrenceOptions
) -> npt.NDArray[np.float32]:
    model, _ = train_co_occurrence(known, options)
    one = np.ones(1, np.float32)
    rows = [model.scores(np.array([row]), one) for row in range(known.num_items)]
    return np.stack(rows)


@pytest.mark.parametrize("rank", [1, 16, 100])
def test_all_corrections_give_ease_whatever_the_rank(
    known: Snapshot, rank: int
) -> None:
    options = CoOccurrenceOptions(
        regularisation=LAMBDA,
        rank=rank,
        neighbours=known.num_items,
        affinity_power=0.0,
    )
    got = _reconstructed(known, options)
    np.testing.assert_allclose(got, _dense(known, options), atol=2e-4)


def test_more_corrections_are_closer_to_ease(known: Snapshot) -> None:
    errors = []
    for neighbours in (4, 32, 128):
        options = CoOccurrenceOptions(
            regularisation=LAMBDA,
            rank=16,
            neighbours=neighbours,
            affinity_power=0.0,
        )
        gap = _reconstructed(known, options) - _dense(known, options)
        errors.append(float((gap**2).sum()))
    assert errors[0] > errors[1] > errors[2]


def test_keeps_the_number_of_neighbours_and_ascending_rows(known: Snapshot) -> None:
    model, low_rank = train_co_occurrence(known, CoOccurrenceOptions(neighbours=7))
    assert model.neighbour_rows.shape == (known.num_items, 7)
    assert (np.diff(model.neighbour_rows, axis=1) > 0).all()
    assert low_rank.start_vectors().shape == (known.num_items, 64)
    assert np.isfinite(low_rank.start_vectors()).all()


def test_large_inputs_fall_back_to_cosine_neighbours(known: Snapshot) -> None:
    options = CoOccurrenceOptions(max_dense_bytes=1, recency_power=0.0)
    model, low_rank = train_co_occurrence(known, options)
    assert model.input_vectors.shape == (known.num_items, 0)
    matrix = known.affinity_matrix().toarray()
    norms = np.linalg.norm(matrix, axis=0)
    cosine = matrix.T @ matrix / np.maximum(norms[:, None] * norms, 1e-9)
    np.fill_diagonal(cosine, 0.0)
    best = int(np.argmax(cosine[10]))
    strongest = model.neighbour_rows[10][np.argmax(model.neighbour_weights[10])]
    assert strongest == best
    assert np.isfinite(low_rank.directions).all()


def test_the_randomised_directions_span_the_exact_ones(known: Snapshot) -> None:
    exact = train_co_occurrence(known, CoOccurrenceOptions(rank=8))[1].directions
    options = CoOccurrenceOptions(rank=8, max_dual_users=1)
    drawn = train_co_occurrence(known, options)[1].directions
    overlap = np.linalg.svd(exact[:, :4].T @ drawn, compute_uv=False)
    assert overlap.min() > 0.95


def test_sinks_what_is_not_sold_any_more(known: Snapshot) -> None:
    options = CoOccurrenceOptions()
    recency = _recency(known, options)
    last = np.zeros(known.num_items, np.int64)
    np.maximum.at(last, known.item_rows, known.times)
    order = np.argsort(last)
    assert recency[order[:30]].mean() < recency[order[-30:]].mean()


def test_reports_progress(known: Snapshot) -> None:
    seen: list[tuple[str, float]] = []
    train_co_occurrence(known, None, lambda part, done: seen.append((part, done)))
    assert seen
    assert {part for part, _ in seen} == {"co-occurrence"}


def test_affinity_lifts_the_categories_of_the_history(known: Snapshot) -> None:
    lifted = train_co_occurrence(known, CoOccurrenceOptions())[0]
    plain = train_co_occurrence(known, CoOccurrenceOptions(affinity_power=0.0))[0]
    assert plain.affinity is None
    codes = known.table.item_table.categories["category"].codes[known.table_rows]
    rows, one = np.array([10]), np.ones(1, np.float32)
    ratio = lifted.scores(rows, one) / plain.scores(rows, one)
    buyers = known.distinct_buyers(known.cut_time - 28 * 86_400, known.cut_time)
    same = (codes == codes[10]) & (buyers > 0)
    other = (codes != codes[10]) & (buyers > 0)
    assert np.nanmedian(ratio[same]) > 2 * np.nanmedian(ratio[other])


def test_affinity_needs_a_category_column(known: Snapshot) -> None:
    options = CoOccurrenceOptions(affinity_columns=("no such column",))
    assert train_co_occurrence(known, options)[0].affinity is None
