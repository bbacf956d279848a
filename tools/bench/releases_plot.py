"""Figure of benchmark `releases`: the 99th percentile of every slice."""

from collections.abc import Mapping
from pathlib import Path

from bench.releases_load import SwapLoad
from load_run import quantile
from stepwell.base.svg_charts import CurvePoint, curve_chart

FIGURE = "releases_swaps.svg"


def write_plot(folder: Path, loads: Mapping[str, SwapLoad]) -> None:
    """Draws the first of the loads that has slices; nothing when none has."""
    for what, load in loads.items():
        if load.swaps:
            (folder / FIGURE).write_text(figure(what, load))
            return


def figure(what: str, load: SwapLoad) -> str:
    """Returns one SVG: p99 of each swap, and of the time before it."""
    slices = {"during a swap": load.swaps, "before it": load.quiet}
    named = {
        name: [
            CurvePoint(number, p99, f"swap {number}: {p99:.1f} ms")
            for number, p99 in enumerate(
                (quantile(run.latency_ms(), 0.99) for run in runs), 1
            )
        ]
        for name, runs in slices.items()
    }
    return curve_chart(f"Swaps of {what}", ("swap", "p99, ms"), named)
