"""Charts of an experiment: effects over time, with intervals that always hold."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from stepwell.base.svg_plot import Box, Plot, Scale, colour_of, document, text
from stepwell.experiments.exposed_slates import OUTCOMES
from stepwell.experiments.panel import Look
from stepwell.experiments.report import Comparison, ExperimentReport

_BOX = Box(70.0, 40.0, 560.0, 240.0)
_WIDTH, _HEIGHT = 700.0, 320.0

_Point = tuple[float, float]


def write(report: ExperimentReport, name: str, folder: Path) -> list[Path]:
    """Writes a chart for each arm and outcome; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for one in report.comparisons:
        chart = chart_of(name, one, report) if one.metric in OUTCOMES else ""
        path = folder / f"{name}_{one.arm}_{one.metric}.svg"
        path.unlink(missing_ok=True)  # one of an earlier report would tell of that
        if chart:
            path.write_text(chart)
            paths.append(path)
    return paths


def chart_of(name: str, one: Comparison, report: ExperimentReport) -> str:
    """Returns an SVG file, "" where no look knows an interval."""
    known = [look for look in one.looks if math.isfinite(look.half_width)]
    known = [look for look in known if look.difference.baseline]
    if len(known) < 2:
        return ""
    times = [float(look.time_seconds) for look in known]
    upper, lower = (_edge(known, sign) for sign in (1, -1))
    across = Scale(times[0], times[-1])
    # The first looks know little: the second half says how high the chart is.
    shown = upper[len(upper) // 2 :] + lower[len(lower) // 2 :]
    highest = max(abs(y) for _, y in shown) * 1.5 or 1.0
    plot = Plot(_BOX, across, Scale(-highest, highest))
    plot.area([*upper, *reversed(lower)], "#cfe3f1")
    plot.marks_up([(y, f"{y:+.1f} %") for y in plot.up.ticks()], lines=True)
    plot.marks_across([(t, _day(t)) for t in (times[0], times[-1])])
    plot.level(0.0)
    plot.line(_edge(known, 0), colour_of(0))
    plot.frame()
    title = f"{name}: {one.metric}, {one.arm} against {report.control}"
    level = f"{1 - report.alpha:.0%} interval, valid at every look"
    parts = [
        text(_BOX.left, 18, title, bold=True),
        text(_BOX.left, 34, f"change in percent; {level}"),
    ]
    return document(_WIDTH, _HEIGHT, [*parts, *plot.parts])


def _edge(looks: Iterable[Look], sign: int) -> list[_Point]:
    """The effect, or an end of its interval, in percent of the control."""
    return [
        (
            float(look.time_seconds),
            100
            * (look.difference.effect + sign * look.half_width)
            / abs(look.difference.baseline),
        )
        for look in looks
    ]


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
