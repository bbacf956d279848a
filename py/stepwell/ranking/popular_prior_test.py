"""The popular list as a prior: strong for strangers, gone for who is known."""

import numpy as np
import pytest

from stepwell.base.deadline import Deadline
from stepwell.base.errors import FailedPreconditionError
from stepwell.pipeline.query import FeatureBatch, Scores
from stepwell.ranking.popular_prior import (
    FULL_PRIOR,
    REDUCED_PRIOR,
    PopularPrior,
    PriorOptions,
)

NAMES = ("user_items", "own_is", "source_popular_rank")
TOTALS = np.array([0.2, 0.1, 0.3, -np.inf], np.float32)
RANKS = [5.0, 0.0, 1_000.0, 2.0]


class _Fixed:
    """Says the same of everybody."""

    def score(
        self,
        features: FeatureBatch,
        deadline: Deadline | None = None,
    ) -> Scores:
        """The first scores."""
        totals = TOTALS[: len(features.dense)]
        return Scores(totals, totals[:, None], ("purchase",))


def _totals(items_known: float, options: PriorOptions, num: int = 4) -> list[float]:
    dense = np.zeros((num, 3), np.float32)
    dense[:, 0], dense[:, 2] = items_known, RANKS[:num]
    batch = FeatureBatch(dense, np.zeros((num, 1), np.int64))
    scores = PopularPrior(_Fixed(), NAMES, options).score(batch)
    np.testing.assert_array_equal(scores.objectives[:, 0], TOTALS[:num])
    totals: list[float] = scores.total.tolist()
    return totals


def test_of_a_stranger_the_list_counts_beside_the_score() -> None:
    found = _totals(0, PriorOptions(weight=0.5))
    assert found[:3] == pytest.approx([0.2 / 6**0.5, 0.1, 0.3 / 1_001**0.5])
    assert found[3] == -np.inf


def test_it_weighs_half_as_much_at_so_many_known_items() -> None:
    options = PriorOptions(weight=0.5, half_items=4.0)
    assert _totals(4, options)[0] == pytest.approx(0.2 / 6**0.25)


@pytest.mark.parametrize(("options", "known"), [(FULL_PRIOR, 9), (REDUCED_PRIOR, 180)])
def test_of_who_is_known_every_score_is_the_models(
    options: PriorOptions, known: int
) -> None:
    assert _totals(known, options) == TOTALS.tolist()
    assert _totals(known / 2, options) != TOTALS.tolist()


def test_no_candidates_are_scored_too() -> None:
    assert _totals(0, FULL_PRIOR, num=0) == []


def test_a_batch_without_the_features_is_refused() -> None:
    with pytest.raises(FailedPreconditionError, match="source_popular_rank"):
        PopularPrior(_Fixed(), NAMES[:2], FULL_PRIOR)
