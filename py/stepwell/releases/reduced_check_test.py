"""The bars of a reduced model: what is below or above them is not published."""

import json
from pathlib import Path

import pytest

from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
)
from stepwell.releases.reduced_check import (
    ReducedFigures,
    ReducedLimits,
    check_reduced,
)


def card(folder: Path, ndcg: tuple[float, float], cost: tuple[int, int]) -> Path:
    content = {
        "quality": {
            "full": {"ndcg_at_10": ndcg[0]},
            "reduced": {"ndcg_at_10": ndcg[1]},
        },
        "cost_us": {"full": {"p50": cost[0]}, "reduced": {"p50": cost[1]}},
    }
    (folder / "model_card.json").write_text(json.dumps(content))
    return folder


def test_a_model_at_its_bars_passes(tmp_path: Path) -> None:
    folder = card(tmp_path, (0.5, 0.45), (1_000, 400))
    figures = check_reduced(folder, ReducedLimits())
    assert figures == ReducedFigures(ndcg_kept=0.9, cost=0.4)
    assert "keeps 90.0% of the full NDCG@10 at 40.0%" in figures.describe()


def test_one_that_keeps_too_little_is_refused_with_the_figure_and_the_flag(
    tmp_path: Path,
) -> None:
    folder = card(tmp_path, (0.5, 0.4449), (1_000, 100))
    said = r"keeps 0\.890 .* must keep 0\.9; .* --min-reduced-ndcg-kept 0\.88$"
    with pytest.raises(FailedPreconditionError, match=said):
        check_reduced(folder, ReducedLimits())
    check_reduced(folder, ReducedLimits(min_ndcg_kept=0.88))


def test_one_that_costs_too_much_is_refused_with_the_figure_and_the_flag(
    tmp_path: Path,
) -> None:
    folder = card(tmp_path, (0.5, 0.5), (1_000, 401))
    said = r"costs 0\.401 .* may cost 0\.4; .* --max-reduced-cost 0\.41$"
    with pytest.raises(FailedPreconditionError, match=said):
        check_reduced(folder, ReducedLimits())
    check_reduced(folder, ReducedLimits(max_cost=0.41))


@pytest.mark.parametrize("content", [None, "{}", '{"quality": {}, "cost_us": {}}'])
def test_what_was_not_measured_is_said_and_passes(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "model_card.json").write_text(content)
    figures = check_reduced(tmp_path, ReducedLimits())
    assert figures == ReducedFigures()
    assert "not measured" in figures.describe()


def test_a_tier_without_a_cost_is_not_measured(tmp_path: Path) -> None:
    folder = card(tmp_path, (0.5, 0.5), (0, 0))
    assert check_reduced(folder, ReducedLimits()).cost is None


@pytest.mark.parametrize("content", ["", "[]", '{"quality": 3}', "\x00"])
def test_a_damaged_card_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "model_card.json").write_text(content)
    with pytest.raises(DataLossError, match="model_card"):
        check_reduced(tmp_path, ReducedLimits())


@pytest.mark.parametrize("kept", [-0.1, 1.1, float("nan")])
def test_limits_are_shares(kept: float) -> None:
    with pytest.raises(InvalidArgumentError, match="min_ndcg_kept"):
        ReducedLimits(min_ndcg_kept=kept)
