"""Recall against queries a second: every engine's curve, in turns, on one thread.

Each width is measured in rounds, the engines one after another in each, and the best
round of a point counts: the others were disturbed. An engine that has passed the
highest recall asked for, or finds no more, is not made any slower.
"""

from collections.abc import Mapping
from pathlib import Path

from bench.retrieval_data import Workload
from bench.retrieval_engines import Engine
from bench.retrieval_figures import (
    OURS,
    Bar,
    Point,
    Row,
    rate_at,
    recall_of,
    row,
    say,
    timed,
)
from stepwell.base.svg_charts import CurvePoint, curve_chart

RECALLS = (0.95, 0.99)
WIDTHS = (1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.0, 16.0, 22.0, 32.0, 45.0, 64.0)
"""ef_search as a multiple of k, or of LEAST_WIDTH where k is less."""
LEAST_WIDTH = 20
ENOUGH = 0.995
LEAST_GAIN = 0.0005
"""What a wider search must add: quantised engines end at a recall below 1."""
TIMES = 1.5
PLOT_NAME = "retrieval_curves.svg"

Curves = dict[str, list[Point]]


def measure_curves(
    work: Workload, engines: Mapping[str, Engine], num_rounds: int
) -> Curves:
    """Returns the points of each engine, by rising width."""
    curves: Curves = {name: [] for name in engines}
    running = dict(engines)
    for multiple in WIDTHS:
        ef = int(multiple * max(work.k, LEAST_WIDTH))
        if not running:
            break
        say(f"curves: ef {ef} of {', '.join(running)}")
        for name, point in _points(work, running, ef, num_rounds).items():
            before = curves[name][-1].recall if curves[name] else 0.0
            curves[name].append(point)
            if point.recall >= ENOUGH or point.recall - before < LEAST_GAIN:
                del running[name]
    return curves


def _points(
    work: Workload, engines: Mapping[str, Engine], ef: int, num_rounds: int
) -> dict[str, Point]:
    seconds: dict[str, float] = {}
    recalls: dict[str, float] = {}
    for _ in range(num_rounds):
        for name, engine in engines.items():
            engine.set_width(ef)
            took, found = timed(engine.search, work.queries, work.k)
            seconds[name] = min(took, seconds.get(name, took))
            if name not in recalls:
                recalls[name] = recall_of(found, work.truth)
    return {
        name: Point(ef, recalls[name], len(work.queries) / seconds[name])
        for name in engines
    }


def curve_rows(
    work: Workload, curves: Curves, informing: Curves, built: str
) -> list[Row]:
    """Returns queries a second at each of RECALLS.

    Args:
        work: what was searched.
        curves: of the engines that the bar compares.
        informing: of those that it does not.
        built: M and ef_construction in words.
    """
    rows = []
    for recall in RECALLS:
        figures = {name: rate_at(recall, points) for name, points in curves.items()}
        # A peer that never gets there is no peer at this recall; ours would fail.
        figures = {n: rate for n, rate in figures.items() if rate or n == OURS}
        also = {name: rate_at(recall, points) for name, points in informing.items()}
        text = f"batch of {len(work.queries):,}, recall@{work.k} = {recall}"
        rows.append(
            row(
                f"{text}, {work.sizes}, {built}, 1 thread",
                "QPS",
                figures,
                lower_is_better=False,
                bar=Bar(times=TIMES),
                also=also,
            )
        )
    return rows


def draw_curves(work: Workload, curves: Curves, folder: Path) -> None:
    """Writes the curves as SVG, the rate on a logarithmic scale."""
    series = {
        name: [CurvePoint(p.recall, p.rate, f"ef {p.ef}") for p in points]
        for name, points in curves.items()
    }
    text = curve_chart(
        f"{work.sizes}, one thread",
        (f"recall@{work.k}", "queries a second"),
        series,
        log_y=True,
    )
    (folder / PLOT_NAME).write_text(text)
