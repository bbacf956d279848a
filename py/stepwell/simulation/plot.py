"""Runs of one scenario side by side as SVG: load, tiers, latency, utility over time."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from stepwell.base.svg_charts import stacked
from stepwell.base.svg_plot import (
    WARNING,
    Box,
    Marks,
    Plot,
    Scale,
    document,
    legend_across,
    text,
)
from stepwell.degradation.tier import Tier
from stepwell.simulation.oracle import WINDOW_US, best_by_window
from stepwell.simulation.played import Played
from stepwell.simulation.scenario import MILLION

COLUMN, GAP, LEFT, TOP = 250, 26, 56, 58
HEIGHTS = {"tiers": 120, "latency": 110, "utility": 90}
_TIER_COLOURS = {
    Tier.FULL: "#2e933c",
    Tier.REDUCED: "#e08e00",
    Tier.POPULAR: "#0b5fa5",
}
_INK = "#222222"
_SHARES, _MILLISECONDS = Scale(0.0, 1.0), Scale(1.0, 1_000.0, logarithmic=True)


def panels(title: str, runs: Mapping[str, Played]) -> str:
    """Returns an SVG document: one column a steering, three rows.

    Args:
        title: above all.
        runs: of the same scenario, by the name of what steered; at least one.
    """
    width = LEFT + len(runs) * (COLUMN + GAP)
    height = TOP + sum(HEIGHTS.values()) + 3 * GAP + 22
    names = {tier.label: colour for tier, colour in _TIER_COLOURS.items()}
    names |= {"no answer": WARNING, "f, best mix": _INK}
    parts = [text(LEFT, 18, title, bold=True), *legend_across(names, LEFT + 450, 27)]
    for number, (name, played) in enumerate(runs.items()):
        left = LEFT + number * (COLUMN + GAP)
        parts.append(text(left, TOP - 8, name, bold=True))
        parts += _column(played, left, labelled=number == 0)
    return document(width, height, parts)


def _column(played: Played, left: int, *, labelled: bool) -> Iterator[str]:
    seconds = Scale(0.0, played.scenario.seconds)
    rows = (
        ("tiers", _SHARES, _draw_tiers, ((1, "1"), (0.5, "share"), (0, "0"))),
        ("latency", _MILLISECONDS, _draw_latency, _LATENCY_MARKS),
        ("utility", _SHARES, _draw_utility, ((1, "1"), (0.5, "utility"), (0, "0"))),
    )
    top = TOP
    for name, up, draw, marks in rows:
        plot = Plot(Box(left, top, COLUMN, HEIGHTS[name]), seconds, up)
        draw(played, plot)
        plot.frame()
        plot.marks_up(marks if labelled else ())
        if name == "utility":
            plot.marks_across([(0.0, "0"), (seconds.high, f"{seconds.high:.0f} s")])
        yield from plot.parts
        top += HEIGHTS[name] + GAP


_LATENCY_MARKS: Marks = ((1_000.0, "1 s"), (31.6, "p99"), (1.0, "1 ms"))


def _windows(played: Played) -> list[slice]:
    starts = np.arange(0, int(played.scenario.seconds * MILLION), WINDOW_US)
    edges = np.searchsorted(played.arrived_us, [*starts, starts[-1] + WINDOW_US])
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def _over_time(plot: Plot, values: Sequence[float]) -> list[tuple[float, float]]:
    """Spreads values over the whole width."""
    seconds = np.linspace(plot.across.low, plot.across.high, len(values)).tolist()
    return list(zip(seconds, values, strict=True))


def _draw_tiers(played: Played, plot: Plot) -> None:
    """The shares of the tiers as areas on each other, FULL at the bottom; f over it."""
    windows = _windows(played)
    colours = [*_TIER_COLOURS.values(), WARNING]
    shares = [
        [_share(played, rows, tier) for rows in windows] for tier in (*_TIER_COLOURS, 0)
    ]
    width = plot.across.high / max(len(windows) - 1, 1)
    for around, colour in zip(stacked(shares), colours, strict=True):
        plot.area([(x * width, y) for x, y in around], colour)
    if played.fit:
        every = max(len(played.fit) // len(windows), 1)
        fits = [fit for _, fit in played.fit[::every]]
        plot.line(_over_time(plot, fits), _INK)


def _share(played: Played, rows: slice, tier: int) -> float:
    tiers = played.tier[rows]
    return float((tiers == tier).mean()) if len(tiers) else 0.0


def _draw_latency(played: Played, plot: Plot) -> None:
    """The p99 of each window on a log scale from 1 ms to 1 s, and the budget."""
    values = []
    for rows in _windows(played):
        answered = played.latency_us[rows][played.tier[rows] > 0]
        values.append(float(np.quantile(answered, 0.99)) / 1e3 if len(answered) else 1)
    plot.level(played.scenario.latency_budget_us / 1e3)
    plot.line(_over_time(plot, values), _INK)


def _draw_utility(played: Played, plot: Plot) -> None:
    """The utility a request in each window, and that of the best mix over it."""
    worth = np.zeros(max(Tier) + 1)
    for tier, value in played.scenario.utility.items():
        worth[tier] = value
    best = best_by_window(played.scenario)
    ours, theirs = [], []
    for rows, most in zip(_windows(played), best, strict=False):
        count = max(rows.stop - rows.start, 1)
        gained = worth[played.tier[rows][played.in_budget[rows]]].sum()
        ours.append(float(gained / count))
        theirs.append(float(most / count))
    plot.line(_over_time(plot, theirs), _INK, dashed=True)
    plot.line(_over_time(plot, ours), _TIER_COLOURS[Tier.FULL])
