"""The serving benchmark's verdicts, and that its peer computes what our ranker does."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.open_step import Step
from bench.serving import measure
from bench.serving_demo import Figures
from bench.serving_demo import rows_of as demo_rows_of
from bench.serving_open import CAPPED, ENVOY, OURS, PLAIN, OpenFigures
from bench.serving_open import rows_of as open_rows_of
from bench.serving_peer import EagerDlrm
from bench.serving_sequential import Samples
from load_run_fixture import run_of
from project_state import ProjectState
from stepwell.base.errors import NotFoundError
from stepwell.client.types import Tier
from stepwell.models.dlrm import Dlrm
from stepwell.models.ranker_config import (
    DenseColumn,
    ModelConfig,
    Objective,
    SparseColumn,
)

SHAPE = ModelConfig(
    dense=tuple(DenseColumn(f"dense{n}", "linear", 0.0, 1.0) for n in range(11)),
    sparse=(SparseColumn("department", 20), SparseColumn("segment", 5)),
    embedding_dim=8,
    bottom_widths=(32, 16),
    top_widths=(24,),
    objectives=(Objective("repeat", 1.0), Objective("new", 0.5)),
)


def demo_figures(**milliseconds: float) -> Figures:
    """Ten equal requests a tier; the tiers not named took 1 ms, REDUCED 0.4 ms."""
    took = {"full": 1.0, "reduced": 0.4, "popular": 1.0, **milliseconds}
    samples = {}
    for tier in (Tier.FULL, Tier.REDUCED, Tier.POPULAR):
        each = [took[tier.name.lower()]] * 10
        samples[tier] = Samples(each, each, {"retrieval": each}, num_cached=5)
    return Figures(samples, {Tier.FULL: 2.0}, [1.0])


def short_of(figures: Figures) -> list[str]:
    """Units of the rows that fall short."""
    return [row.unit for row in demo_rows_of(figures) if not row.holds]


def one_step(latency_ms: Sequence[float], cpu_ms: float = 2.0, status: int = 0) -> Step:
    return Step(run_of(latency_ms, status=[status] * len(latency_ms)), cpu_ms)


FOUND = OpenFigures(
    capacity={OURS: 400.0, PLAIN: 130.0, CAPPED: 100.0, ENVOY: 110.0},
    tight={OURS: 350.0, PLAIN: 0.0},
    light={OURS: one_step([9.0] * 100), PLAIN: one_step([40.0] * 100, 9.0)},
    overload={
        OURS: one_step([20.0] * 100),
        PLAIN: one_step([200.0] * 100, status=4),
    },
    overlap=0.97,
    num_parameters=1_000,
)


def short_of_open(found: OpenFigures) -> list[str]:
    """Bars of the rows that fall short."""
    return [row.bar for row in open_rows_of(found) if not row.holds]


def test_without_a_release_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="stepwell demo --data generated --exit"):
        measure(state=ProjectState(tmp_path, "generated"))


def test_a_slow_full_tier_falls_short_at_each_of_its_bars() -> None:
    assert not short_of(demo_figures())
    short = short_of(demo_figures(full=21.0, reduced=1.0))
    assert short == ["ms p50", "ms p99", "ms p99"]


def test_a_reduced_tier_that_costs_too_much_falls_short() -> None:
    assert short_of(demo_figures(reduced=0.41)) == ["ratio"]


def test_a_popular_tier_of_more_than_a_millisecond_falls_short() -> None:
    assert short_of(demo_figures(popular=1.1)) == ["ms p99"]


def test_all_that_is_promised_holds_in_the_open_loop() -> None:
    assert not short_of_open(FOUND)
    assert open_rows_of(FOUND)[0].ratio == pytest.approx(400 / 130)


def test_less_than_three_times_the_best_peer_falls_short() -> None:
    better = replace(FOUND, capacity={**FOUND.capacity, ENVOY: 134.0})
    assert short_of_open(better) == [">= 3 x the best peer"]


def test_a_light_load_that_is_late_or_dear_falls_short() -> None:
    slow = replace(FOUND, light={**FOUND.light, OURS: one_step([21.0] * 100, 3.1)})
    assert short_of_open(slow) == ["<= 20 ms p99", "<= 3 ms mean"]


def test_one_error_in_overload_falls_short() -> None:
    run = run_of([20.0] * 2_000, status=[8] + [0] * 1_999)
    found = replace(FOUND, overload={**FOUND.overload, OURS: Step(run, 1.0)})
    assert short_of_open(found) == ["<= 0 share"]


def test_answers_over_the_budget_in_overload_fall_short() -> None:
    run = run_of([20.0] * 997 + [51.0] * 3)
    found = replace(FOUND, overload={**FOUND.overload, OURS: Step(run, 1.0)})
    assert short_of_open(found) == [">= 0.999 share"]


def test_a_ranker_that_holds_no_rate_falls_short() -> None:
    nothing = replace(
        FOUND,
        capacity={**FOUND.capacity, OURS: 0.0},
        light={PLAIN: FOUND.light[PLAIN]},
        overload={PLAIN: FOUND.overload[PLAIN]},
    )
    assert len(short_of_open(nothing)) == 2


def test_the_peer_has_our_weights_and_computes_what_our_ranker_computes() -> None:
    random = torch.Generator().manual_seed(3)
    dense = torch.randn(7, 11, generator=random)
    sparse = torch.randint(0, 5, (7, 2), generator=random)
    ours = Dlrm(SHAPE).eval()
    theirs = EagerDlrm.of(ours)
    with torch.no_grad():
        torch.testing.assert_close(theirs(dense, sparse), ours(dense, sparse))
