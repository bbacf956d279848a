"""The worth of mixes."""

import pytest

from capacity import Capacity
from load_run_fixture import run_of
from utility import TierValues, best_utility, utility

CAPACITY = Capacity(full=100.0, reduced=200.0, popular=1_000.0)
VALUES = TierValues(full=1.0, reduced=0.8, popular=0.5)


@pytest.mark.parametrize(
    ("rate", "best"),
    [
        (50.0, 1.0),
        (100.0, 1.0),
        # Half the machine each: x FULL and the rest REDUCED, 1.5 x + 0.75 (1 - x) = 1.
        (150.0, 1 / 3 + 0.8 * 2 / 3),
        (200.0, 0.8),
        # FULL and POPULAR would be 0.61 here: REDUCED and POPULAR are the better pair.
        (400.0, 0.375 * 0.8 + 0.625 * 0.5),
        (1_000.0, 0.5),
        (2_000.0, 0.25),
    ],
)
def test_the_best_mix_uses_the_machine_up(rate: float, best: float) -> None:
    assert best_utility(rate, CAPACITY, VALUES) == pytest.approx(best, rel=1e-6)


def test_what_comes_late_or_not_at_all_is_worth_nothing() -> None:
    run = run_of([5.0, 5.0, 50.0, 5.0], tier=[1, 3, 1, 1], status=[0, 0, 0, 14])
    assert utility(run, 20.0, VALUES) == pytest.approx(1.5 / 4)
    assert utility(run_of([]), 20.0, VALUES) == 0.0


def test_values_come_from_the_model_card() -> None:
    card = {
        name: {"ndcg_at_10": value}
        for name, value in (
            ("full", 0.5),
            ("reduced", 0.4),
            ("popular", 0.2),
            ("popular_cached", 0.3),
        )
    }
    assert TierValues.of_model_card(card) == TierValues(0.5, 0.4, 0.2)
