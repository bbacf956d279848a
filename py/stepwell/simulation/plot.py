"""Runs of one scenario side by side as SVG: load, tiers, latency, utility over time."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

import numpy as np

from stepwell.degradation.tier import Tier
from stepwell.simulation.oracle import WINDOW_US, best_by_window
from stepwell.simulation.played import Played
from stepwell.simulation.scenario import MILLION, FloatArray

COLUMN, GAP, LEFT, TOP = 250, 26, 56, 58
HEIGHTS = {"tiers": 120, "latency": 110, "utility": 90}
_TIER_COLOURS = {
    Tier.FULL: "#2e933c",
    Tier.REDUCED: "#e08e00",
    Tier.POPULAR: "#0b5fa5",
}
_NONE_COLOUR, _INK, _BAR = "#d1495b", "#222222", "#d1495b"
_MOST_MS = 1_000.0


def panels(title: str, runs: Mapping[str, Played]) -> str:
    """Returns an SVG document: one column a steering, three rows.

    Args:
        title: above all.
        runs: of the same scenario, by the name of what steered; at least one.
    """
    width = LEFT + len(runs) * (COLUMN + GAP)
    height = TOP + sum(HEIGHTS.values()) + 3 * GAP + 22
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-size="14">{escape(title)}</text>',
        *_legend(),
    ]
    for number, (name, played) in enumerate(runs.items()):
        left = LEFT + number * (COLUMN + GAP)
        parts.append(
            f'<text x="{left}" y="{TOP - 8}" font-weight="bold">{escape(name)}</text>'
        )
        parts += _column(played, left, labelled=number == 0)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend() -> list[str]:
    entries = [(tier.label, colour) for tier, colour in _TIER_COLOURS.items()]
    entries += [("no answer", _NONE_COLOUR), ("f, best mix", _INK)]
    parts = []
    for number, (name, colour) in enumerate(entries):
        x = LEFT + 90 * number
        parts.append(f'<rect x="{x}" y="27" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 14}" y="36">{escape(name)}</text>')
    return parts


def _column(played: Played, left: int, *, labelled: bool) -> list[str]:
    top = TOP
    parts = _tiers(played, left, top)
    parts += _frame(left, top, HEIGHTS["tiers"], labelled, ("1", "share", "0"))
    top += HEIGHTS["tiers"] + GAP
    parts += _latency(played, left, top)
    parts += _frame(left, top, HEIGHTS["latency"], labelled, ("1 s", "p99", "1 ms"))
    top += HEIGHTS["latency"] + GAP
    parts += _utility(played, left, top)
    parts += _frame(left, top, HEIGHTS["utility"], labelled, ("1", "utility", "0"))
    bottom = top + HEIGHTS["utility"] + 14
    parts.append(f'<text x="{left}" y="{bottom}">0</text>')
    parts.append(
        f'<text x="{left + COLUMN}" y="{bottom}" text-anchor="end">'
        f"{played.scenario.seconds:.0f} s</text>"
    )
    return parts


def _frame(
    left: int, top: int, height: int, labelled: bool, texts: tuple[str, str, str]
) -> list[str]:
    parts = [
        f'<rect x="{left}" y="{top}" width="{COLUMN}" height="{height}" fill="none" '
        'stroke="#999999"/>'
    ]
    if labelled:
        places = (top + 9, top + height / 2, top + height)
        parts += [
            f'<text x="{left - 5}" y="{y:.0f}" text-anchor="end">{text}</text>'
            for y, text in zip(places, texts, strict=True)
        ]
    return parts


def _windows(played: Played) -> list[slice]:
    starts = np.arange(0, int(played.scenario.seconds * MILLION), WINDOW_US)
    edges = np.searchsorted(played.arrived_us, [*starts, starts[-1] + WINDOW_US])
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def _tiers(played: Played, left: int, top: int) -> list[str]:
    """The shares of the tiers as areas on each other, FULL at the bottom; f over it."""
    height, windows = HEIGHTS["tiers"], _windows(played)
    below = np.zeros(len(windows))
    parts = []
    order = [*_TIER_COLOURS.items(), (0, _NONE_COLOUR)]
    for tier, colour in order:
        share = np.array([_share(played, rows, int(tier)) for rows in windows])
        upper = below + share
        points = _points(upper, left, top, height)
        points += reversed(_points(below, left, top, height))
        parts.append(f'<polygon fill="{colour}" points="{" ".join(points)}"/>')
        below = upper
    if played.fit:
        every = max(len(played.fit) // len(windows), 1)
        fits = np.array([fit for _, fit in played.fit[::every]])
        parts.append(_line(fits, left, top, height, _INK))
    return parts


def _share(played: Played, rows: slice, tier: int) -> float:
    tiers = played.tier[rows]
    return float((tiers == tier).mean()) if len(tiers) else 0.0


def _latency(played: Played, left: int, top: int) -> list[str]:
    """The p99 of each window on a log scale from 1 ms to 1 s, and the budget."""
    height = HEIGHTS["latency"]
    values = []
    for rows in _windows(played):
        answered = played.latency_us[rows][played.tier[rows] > 0]
        p99_ms = float(np.quantile(answered, 0.99)) / 1e3 if len(answered) else 1.0
        values.append(_log_share(p99_ms))
    budget_ms = played.scenario.latency_budget_us / 1e3
    limit = np.full(2, _log_share(budget_ms))
    return [
        _line(limit, left, top, height, _BAR),
        _line(np.array(values), left, top, height, _INK),
    ]


def _log_share(milliseconds: float) -> float:
    clipped = min(max(milliseconds, 1.0), _MOST_MS)
    return float(np.log10(clipped) / np.log10(_MOST_MS))


def _utility(played: Played, left: int, top: int) -> list[str]:
    """The utility a request in each window, and that of the best mix over it."""
    worth = np.zeros(max(Tier) + 1)
    for tier, value in played.scenario.utility.items():
        worth[tier] = value
    best = best_by_window(played.scenario)
    height = HEIGHTS["utility"]
    ours, theirs = [], []
    for rows, most in zip(_windows(played), best, strict=False):
        count = max(rows.stop - rows.start, 1)
        gained = worth[played.tier[rows][played.in_budget[rows]]].sum()
        ours.append(gained / count)
        theirs.append(most / count)
    return [
        _line(np.array(theirs), left, top, height, _INK, dashed=True),
        _line(np.array(ours), left, top, height, _TIER_COLOURS[Tier.FULL]),
    ]


def _points(shares: FloatArray, left: int, top: int, height: int) -> list[str]:
    across: Sequence[float] = np.linspace(left, left + COLUMN, len(shares)).tolist()
    down = top + height * (1.0 - np.clip(shares, 0.0, 1.0))
    return [f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True)]


def _line(
    shares: FloatArray,
    left: int,
    top: int,
    height: int,
    colour: str,
    *,
    dashed: bool = False,
) -> str:
    points = " ".join(_points(shares, left, top, height))
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return (
        f'<polyline fill="none" stroke="{colour}" stroke-width="1.3"{dash} '
        f'points="{points}"/>'
    )
