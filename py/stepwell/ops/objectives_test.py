"""Totals and probabilities against their definition in float64."""

import numpy as np
import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.ops.objectives import weigh_objectives


def test_equals_the_weighted_sum_of_logistic_functions() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0.0, 6.0, (200, 3)).astype(np.float32)
    weights = np.array([1.0, -0.5, 0.25], np.float32)
    totals, probabilities = weigh_objectives(logits, weights)
    want = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    np.testing.assert_allclose(probabilities, want, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(totals, want @ weights, rtol=1e-5, atol=1e-6)


def test_far_logits_end_at_0_and_1() -> None:
    logits = np.array([[-500.0], [-np.inf], [500.0], [np.inf]], np.float32)
    _, probabilities = weigh_objectives(logits, np.ones(1, np.float32))
    assert probabilities.ravel().tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("logit", "weight"), [(np.nan, 1.0), (0.0, np.inf), (-np.inf, np.inf)]
)
def test_a_total_that_is_not_finite_sinks(logit: float, weight: float) -> None:
    logits = np.array([[logit], [0.0]], np.float32)
    totals, _ = weigh_objectives(logits, np.array([weight], np.float32))
    assert totals[0] == -np.inf


def test_no_candidates_have_no_scores() -> None:
    totals, probabilities = weigh_objectives(
        np.zeros((0, 2), np.float32), np.ones(2, np.float32)
    )
    assert totals.shape == (0,)
    assert probabilities.shape == (0, 2)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((4, 2)), "logits is float64"),
        (np.zeros((4, 3), np.float32), r"weights has shape \(2,\), must be \(3,\)"),
        (np.zeros(4, np.float32), "logits has shape"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    logits: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        weigh_objectives(logits, np.ones(2, np.float32))
