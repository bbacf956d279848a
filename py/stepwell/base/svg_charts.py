"""The charts of our reports: what happened second by second, and one figure against
another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stepwell.base.svg_plot import (
    Box,
    Plot,
    Scale,
    colour_of,
    document,
    element,
    legend_across,
    legend_down,
    text,
)

WIDTH, HEIGHT = 760, 220
"""Pixels of a chart over seconds."""

_BOX = Box(left=64, top=26, width=WIDTH - 76, height=HEIGHT - 56)
_CURVES_WIDTH, _CURVES_HEIGHT = 760, 460
_CURVES_BOX = Box(left=70, top=40, width=520, height=370)


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds a chart over seconds.

    Attributes:
        title: with the unit.
        limit: a dashed line at this height; None draws none.
        top: upper end of the axis; 0 takes the highest value.
        shade: (from, to) seconds drawn darker; None shades nothing.
    """

    title: str
    limit: float | None = None
    top: float = 0.0
    shade: tuple[float, float] | None = None


def line_chart(frame: Frame, rows: Mapping[str, Sequence[float]]) -> str:
    """Returns an <svg> with curves over seconds; each row has one value a second."""
    plot = _over_seconds(frame, rows, [y for row in rows.values() for y in row])
    for number, row in enumerate(rows.values()):
        plot.line(_in_seconds(row), colour_of(number))
    return _finished(frame, rows, plot)


def area_chart(frame: Frame, rows: Mapping[str, Sequence[float]]) -> str:
    """Returns an <svg> with areas on one another; each row has one value a second."""
    sums = [sum(values) for values in zip(*rows.values(), strict=True)]
    plot = _over_seconds(frame, rows, sums)
    for number, around in enumerate(stacked(list(rows.values()))):
        plot.area([(x + 0.5, y) for x, y in around], colour_of(number))
    return _finished(frame, rows, plot)


def stacked(rows: Sequence[Sequence[float]]) -> list[list[tuple[float, float]]]:
    """Returns the points around each layer when rows lie on one another.

    x is the number of the value.
    """
    floor = [0.0] * max((len(row) for row in rows), default=0)
    layers = []
    for row in rows:
        ceiling = [low + more for low, more in zip(floor, row, strict=True)]
        back = list(enumerate(floor))[::-1]
        layers.append([*((float(x), y) for x, y in enumerate(ceiling)), *back])
        floor = ceiling
    return layers


def _in_seconds(row: Sequence[float]) -> list[tuple[float, float]]:
    return [(second + 0.5, value) for second, value in enumerate(row)]


def _over_seconds(
    frame: Frame, rows: Mapping[str, Sequence[float]], values: Sequence[float]
) -> Plot:
    size = max((len(row) for row in rows.values()), default=0)
    highest = max([*values, frame.limit or 0.0, 1e-9])
    up = Scale(0.0, frame.top) if frame.top else Scale.up_to(highest)
    plot = Plot(_BOX, Scale(0.0, float(max(size, 1))), up)
    if frame.shade:
        plot.shade(*frame.shade)
    plot.marks_up(
        [(up.high * share, f"{up.high * share:g}") for share in (0.0, 0.5, 1.0)],
        lines=True,
    )
    quarters = [size * share for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    plot.marks_across([(second, f"{second:.0f} s") for second in quarters])
    return plot


def _finished(frame: Frame, rows: Mapping[str, object], plot: Plot) -> str:
    if frame.limit is not None:
        plot.level(frame.limit)
    names = {name: colour_of(number) for number, name in enumerate(rows)}
    parts = [
        text(4, 17, frame.title, bold=True),
        *plot.parts,
        *legend_across(names, _BOX.right, 8),
    ]
    return element(WIDTH, HEIGHT, parts, frame.title)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One point of a curve: where it is, and what it says when it is pointed at."""

    x: float
    y: float
    text: str


def curve_chart(
    title: str,
    labels: tuple[str, str],
    named: Mapping[str, Sequence[CurvePoint]],
    *,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Returns a file with curves of one figure against another.

    Args:
        title: above the plot.
        labels: of the x and the y axis.
        named: points by name, in the order in which they are joined; a curve without
            points is left out.
        log_x, log_y: a logarithmic axis; all its values are above 0.
    Raises:
        ValueError: no curve has a point.
    """
    drawn = {name: points for name, points in named.items() if points}
    if not drawn:
        raise ValueError("no curve has a point")
    points = [point for curve in drawn.values() for point in curve]
    across = Scale.around([point.x for point in points], log_x)
    up = Scale.around([point.y for point in points], log_y)
    plot = Plot(_CURVES_BOX, across, up)
    plot.marks_across([(x, f"{x:g}") for x in across.ticks()], lines=True)
    plot.marks_up([(y, f"{y:,.6g}") for y in up.ticks()], lines=True)
    names = {name: colour_of(number) for number, name in enumerate(drawn)}
    for name, curve in drawn.items():
        plot.line([(point.x, point.y) for point in curve], names[name])
        for point in curve:
            said = f"{point.text}: {point.x:.4g}, {point.y:.4g}"
            plot.dot(point.x, point.y, said, names[name])
    parts = [
        text(_CURVES_BOX.left, 22, title, bold=True),
        *plot.parts,
        *_axis_labels(labels),
        *legend_down(names, _CURVES_BOX.right + 14, _CURVES_BOX.top + 6),
    ]
    return document(_CURVES_WIDTH, _CURVES_HEIGHT, parts)


def _axis_labels(labels: tuple[str, str]) -> list[str]:
    box = _CURVES_BOX
    middle = box.top + box.height / 2
    return [
        text(box.left + box.width / 2, _CURVES_HEIGHT - 10, labels[0], "middle"),
        f'<g transform="translate(16 {middle:g}) rotate(-90)">'
        f"{text(0, 0, labels[1], 'middle')}</g>",
    ]
