"""Runs become lines, lines are held against the bars, figures become a picture."""

from dataclasses import replace
from xml.etree import ElementTree

from stepwell.degradation.controller import LadderOptions
from stepwell.simulation.plain import at_load, find_c0_load, seconds_to_full
from stepwell.simulation.play import play
from stepwell.simulation.plot import panels
from stepwell.simulation.rivals import RIVALS, FullOnly
from stepwell.simulation.steering import ladder
from stepwell.simulation.sweep import GRID, num_lines
from stepwell.simulation.verdict import by_kind, missed_bars, verdict_of

GOOD = verdict_of(play(at_load(0.5, 4.0), ladder()))


def test_a_verdict_says_what_was_served() -> None:
    assert GOOD.in_budget == 1.0
    assert 0.9 < GOOD.of_best <= 1.01
    assert abs(GOOD.full + GOOD.reduced + GOOD.popular - 1.0) < 1e-9
    assert GOOD.as_json()["kind"] == "0.5 x C0"


def test_runs_are_summed_by_kind_and_weighted_by_requests() -> None:
    bad = replace(GOOD, kind="other", in_budget=0.0, num_requests=GOOD.num_requests * 3)
    lines = {line.kind: line for line in by_kind([GOOD, bad, bad])}
    assert lines["0.5 x C0"].in_budget == 1.0
    assert lines["other"].num_requests == 2 * bad.num_requests
    assert abs(lines["all"].in_budget - 1 / 7) < 1e-9


def test_a_bar_that_is_missed_is_named_with_its_figure() -> None:
    assert missed_bars([GOOD]) == []
    late = replace(GOOD, in_budget=0.99)
    assert missed_bars([late]) == ["all: in budget 99.00% < 99.5%"]
    poor = replace(GOOD, of_best=0.5)
    assert missed_bars([poor] * 8) == [
        "0.5 x C0: 50.0% of the best mix < 90%",
        "all: 50.0% of the best mix < 90%",
    ]


def test_a_kind_of_few_runs_is_judged_with_the_others_only() -> None:
    one_bad = replace(GOOD, kind="rare", of_best=0.5)
    assert missed_bars([one_bad, *[GOOD] * 20]) == []


def test_the_picture_is_a_drawing_of_each_steering() -> None:
    run = at_load(0.9, 3.0)
    runs = {name: play(run, RIVALS[name]) for name in ("ladder", "Vegas limit")}
    root = ElementTree.fromstring(panels("a < b", runs))
    texts = [node.text for node in root.iter() if node.text and node.text.strip()]
    assert "a < b" in texts
    assert "Vegas limit" in texts
    assert len([node for node in root.iter() if node.tag.endswith("polygon")]) == 8


def test_every_constant_of_the_sweep_changes_the_options() -> None:
    for change, values in GRID.values():
        changed = {change(LadderOptions(), value) for value in values}
        assert len(changed) == len(values)
    assert num_lines() == sum(len(values) for _, values in GRID.values())


def test_the_time_back_to_full_is_the_length_of_the_run_when_it_never_is() -> None:
    run = play(at_load(3.0, 4.0), ladder())
    assert seconds_to_full(run, 0) == 4.0
    assert seconds_to_full(play(at_load(0.3, 4.0), FullOnly), 1_000_000) == 0.0


def test_c0_is_found_between_idle_and_busy_all_the_time() -> None:
    assert 0.4 < find_c0_load(seconds=10.0, steps=4) < 0.9
