"""Factors of categories: the user's share and the item's share."""

import numpy as np
import numpy.typing as npt
import pytest

from stepwell.base.errors import DataLossError
from stepwell.retrieval.category_affinity import CategoryAffinity
from stepwell.retrieval.co_occurrence_model import CoOccurrenceModel
from stepwell.schema.vocabulary import RowArray

CODES = np.array([0, 0, 1, 2], np.int32)
BUYERS = np.array([8, 2, 5, 0])
AFFINITY = CategoryAffinity.of_buyers(CODES, BUYERS, power=0.5)
ONE = np.ones(1, np.float32)


def _factors(
    affinity: CategoryAffinity, rows: RowArray, weights: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """What a model multiplies whose every item is a neighbour of every other."""
    n = len(affinity.codes)
    none = np.zeros((n, 0), np.float32)
    near = np.tile(np.arange(n, dtype=np.int32), (n, 1))
    model = CoOccurrenceModel(none, none, near, np.ones((n, n), np.float32), affinity)
    factors: npt.NDArray[np.float32] = model.scores(rows, weights) / weights.sum()
    return factors


def test_factors_are_the_two_shares_to_the_power() -> None:
    weights = np.array([3.0, 1.0], np.float32)
    got = _factors(AFFINITY, np.array([0, 2]), weights)
    mine = np.sqrt(np.array([0.75, 0.75, 0.25, 0.0]) + 1e-4)
    item = np.sqrt(np.array([8.2 / 12, 2.2 / 12, 5.2 / 7, 0.2 / 2]))
    np.testing.assert_allclose(got, mine * item, rtol=1e-5)


def test_an_unknown_category_is_sunk_and_not_shut_out() -> None:
    factors = _factors(AFFINITY, np.array([0]), ONE)
    assert 0 < factors[2] < factors[0]


def test_the_scale_of_the_weights_does_not_matter() -> None:
    first = _factors(AFFINITY, np.array([0]), ONE)
    many = _factors(AFFINITY, np.array([0]), 50 * ONE)
    np.testing.assert_allclose(many, first, rtol=1e-6)


def test_survives_its_tensors() -> None:
    again = CategoryAffinity.of_tensors(dict(AFFINITY.tensors()), 4)
    assert again is not None
    first = _factors(AFFINITY, np.array([3]), ONE)
    assert _factors(again, np.array([3]), ONE).tolist() == first.tolist()
    assert CategoryAffinity.of_tensors({}, 4) is None


def test_tensors_that_do_not_fit_are_refused() -> None:
    tensors = dict(AFFINITY.tensors())
    with pytest.raises(DataLossError, match="5 items"):
        CategoryAffinity.of_tensors(tensors, 5)
    tensors["affinity_codes"] = CODES - 1
    with pytest.raises(DataLossError, match="negative"):
        CategoryAffinity.of_tensors(tensors, 4)
    del tensors["affinity_power"]
    with pytest.raises(DataLossError):
        CategoryAffinity.of_tensors(tensors, 4)
