import math

import numpy as np

from stepwell.experiments.panel import LookOptions, Occasions
from stepwell.experiments.simulation import History, SimulationOptions, simulate

NUM_USERS, NUM_VISITS = 800, 16_000


def history() -> History:
    """Users of unlike taste, which their past tells."""
    rng = np.random.default_rng(1)
    taste = rng.beta(2, 3, NUM_USERS)
    users = (NUM_USERS * rng.random(NUM_VISITS) ** 1.5).astype(np.int64)
    hits = (rng.random(NUM_VISITS) < taste[users]).astype(np.float64)
    times = rng.integers(0, 100_000, NUM_VISITS)
    return History(
        user_ids=[f"user-{number}" for number in range(NUM_USERS)],
        occasions=Occasions(users, times, hits, np.ones(NUM_VISITS)),
        before=rng.binomial(30, taste)[:, None].astype(np.float64),
    )


LOOKS = LookOptions(alpha=0.05, expected_effect=0.05)


def test_arms_that_are_the_same_are_told_apart_no_more_than_allowed() -> None:
    told: list[tuple[int, int]] = []
    options = SimulationOptions(num_runs=150, num_looks=40, looks=LOOKS)
    result = simulate(history(), options, lambda *done: told.append(done))
    assert result.found <= LOOKS.alpha * result.num_runs
    assert result.found_plain <= LOOKS.alpha * result.num_runs
    assert result.found_by_peeking > 2 * LOOKS.alpha * result.num_runs
    assert result.found_at_end <= 2 * LOOKS.alpha * result.num_runs + 3
    assert result.found_adjusted <= 2 * LOOKS.alpha * result.num_runs + 3
    assert math.isnan(result.median_occasions)
    assert result.mismatches <= 2
    assert (result.num_looks, result.num_users) == (40, NUM_USERS)
    assert told == [(100, 150), (150, 150)]


def test_a_loss_is_found_sooner_the_larger_it_is() -> None:
    found = [
        simulate(
            history(),
            SimulationOptions(num_runs=20, num_looks=40, looks=LOOKS, lost_share=lost),
        )
        for lost in (0.1, 0.4)
    ]
    assert found[0].found_plain < found[0].found
    assert found[0].found > 10
    assert found[1].found == 20
    assert found[1].median_occasions < found[0].median_occasions
    assert all(result.variance_kept < 0.9 for result in found)


def test_the_same_seed_is_the_same_simulation() -> None:
    options = SimulationOptions(num_runs=5, num_looks=10, looks=LOOKS, lost_share=0.1)
    assert str(simulate(history(), options)) == str(simulate(history(), options))
