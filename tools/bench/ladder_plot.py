"""Figures of benchmark `ladder`: who answered, and how fast, second by second."""

import json
from pathlib import Path
from typing import Any

from by_second import REFUSED
from stepwell.base.svg_charts import HEIGHT, WIDTH, Frame, area_chart, line_chart
from stepwell.base.svg_plot import document, moved

FIGURES = {"o4-": "ladder_spike.svg", "burst-": "ladder_burst.svg"}
"""Beginning of a run's file name, and the figure that is drawn of it."""

Document = dict[str, Any]


def write_plots(folder: Path, plots: Path) -> None:
    """Draws the runs that lie in a folder, as far as they are there.

    Args:
        folder: of the runs' files.
        plots: where the figures go.
    """
    for beginning, name in FIGURES.items():
        for path in sorted(folder.glob(f"{beginning}*.json")):
            (plots / name).write_text(figure(json.loads(path.read_text())))


def figure(run: Document) -> str:
    """Returns one SVG: offered and answered in time, tiers, the 99th percentile."""
    trouble = run["trouble"]
    shade = None if trouble is None else (trouble[0], trouble[1])
    series, budget_ms = run["by_second"], run["budget_ms"]
    tiers = dict(series["tiers"])
    refused = tiers.pop(REFUSED)
    parts = [
        line_chart(
            Frame("calls/s", shade=shade),
            {"offered": series["offered"], "in time": series["goodput"]},
        ),
        area_chart(
            Frame("share of the calls by tier", top=1.0, shade=shade),
            {**tiers, "refused": refused},
        ),
        line_chart(
            Frame("p99 of each second, ms", limit=budget_ms, shade=shade),
            {"p99": series["latency_ms"]["p99"]},
        ),
    ]
    placed = [moved(part, 0, number * HEIGHT) for number, part in enumerate(parts)]
    return document(WIDTH, HEIGHT * len(parts), placed)
