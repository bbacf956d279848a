"""The serving benchmark's verdicts, and that its peer is as large as our ranker."""

from pathlib import Path

import pytest
import torch

from bench.serving import Figures, _full_rows, _limited, _load_rows, _tier_rows, measure
from bench.serving_load import ClosedLoop, Samples
from bench.serving_peer import EagerDlrm
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


def figures(**milliseconds: float) -> Figures:
    """Ten equal requests a tier; the tiers not named took 1 ms."""
    made = Figures(full_cpu_ms=20.0, loop=ClosedLoop(2.0))
    for tier in (Tier.FULL, Tier.REDUCED, Tier.POPULAR):
        took = [milliseconds.get(tier.name.lower(), 1.0)] * 10
        made.samples[tier] = Samples(took, list(took), list(took), num_cached=5)
    made.loop.tiers[Tier.FULL] = 100
    return made


def test_without_a_release_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="stepwell demo --data generated --exit"):
        measure(state=ProjectState(tmp_path, "generated"))


def test_a_row_holds_up_to_its_limit() -> None:
    assert _limited("work", 8.0, "ms", 8.0).holds
    assert not _limited("work", 8.01, "ms", 8.0).holds


def test_a_slow_full_tier_falls_short_at_each_bar_and_beside_the_peer() -> None:
    rows = _full_rows(figures(full=21.0), figures(full=7.0), 1_000)
    assert [row.holds for row in rows] == [False, False, False, True]
    assert [row.ratio for row in rows[:2]] == pytest.approx([1 / 3, 1 / 3])
    assert all(row.holds for row in _full_rows(figures(), figures(), 1_000))


def test_processor_time_is_a_requests_mean() -> None:
    row = _full_rows(figures(), figures(), 1_000)[-1]
    assert row.ours == pytest.approx(2.0)


def test_a_reduced_tier_that_costs_too_much_falls_short() -> None:
    dear, cheap = (
        _tier_rows(figures(full=10.0, reduced=reduced))[1] for reduced in (4.1, 3.9)
    )
    assert (dear.holds, cheap.holds) == (False, True)
    assert dear.ours == pytest.approx(0.41)


def test_a_popular_tier_of_more_than_a_millisecond_falls_short() -> None:
    assert not _tier_rows(figures(popular=1.1))[0].holds


def test_the_closed_loop_counts_answers_a_second() -> None:
    (row,) = _load_rows(figures(), figures())
    assert (row.ours, row.ratio) == (50.0, 1.0)


def test_the_peer_has_as_many_parameters_as_our_ranker() -> None:
    ours, theirs = (
        sum(weight.numel() for weight in model.parameters())
        for model in (Dlrm(SHAPE), EagerDlrm(SHAPE))
    )
    assert theirs == ours


def test_the_peer_computes_what_our_ranker_computes() -> None:
    random = torch.Generator().manual_seed(3)
    dense = torch.randn(7, 11, generator=random)
    sparse = torch.randint(0, 5, (7, 2), generator=random)
    ours, theirs = Dlrm(SHAPE).eval(), EagerDlrm(SHAPE).eval()
    with torch.no_grad():
        for weight, source in zip(theirs.parameters(), ours.parameters(), strict=True):
            weight.copy_(source)
        torch.testing.assert_close(theirs(dense, sparse), ours(dense, sparse))
