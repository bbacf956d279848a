"""The command plays, prints, draws and judges."""

import argparse
import json
from pathlib import Path

import pytest

from commands import simulate
from stepwell.simulation.rivals import RIVALS


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    return simulate.run(parser.parse_args([*arguments]))


def test_prints_a_line_for_each_kind_and_writes_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    arguments = ("--steering", "ladder", "--seeds", "2", "--json", str(file))
    markdown = tmp_path / "table.md"
    assert _run(*arguments, "--check", "--markdown", str(markdown)) == 0
    assert markdown.read_text().splitlines()[2].startswith("| ladder | ")
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("ladder", "steady", "step", "all"))
    figures = json.loads(file.read_text())
    assert [line["kind"] for line in figures["ladder"]] == ["steady", "step", "all"]
    assert figures["ladder"][-1]["in_budget"] >= 0.995


def test_one_kind_is_played_and_drawn(tmp_path: Path) -> None:
    plots = tmp_path / "plots"
    arguments = ("--kind", "cost shift", "--seeds", "1", "--steering", "ladder")
    assert _run(*arguments, "--plot", str(plots)) == 0
    assert [path.name for path in plots.iterdir()] == ["simulate_cost_shift.svg"]


def test_check_judges_the_ladder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(RIVALS, "ladder", RIVALS["Vegas limit"])
    arguments = ("--kind", "step", "--seeds", "1", "--steering", "ladder")
    assert _run(*arguments) == 0
    assert _run(*arguments, "--check") == 1
    assert "simulate: all: in budget" in capsys.readouterr().err


@pytest.mark.parametrize("seeds", ["0", "1000001"])
def test_a_number_of_runs_out_of_range_is_refused(seeds: str) -> None:
    with pytest.raises(SystemExit):
        _run("--seeds", seeds)
