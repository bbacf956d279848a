"""A line plot as SVG: a few curves, a legend, a text on each point."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 40, 50
COLOURS = (
    "#0b5fa5", "#d1495b", "#2e933c", "#8d6a9f", "#e08e00",
    "#00798c", "#6b4226", "#9a9a00", "#444444",
)  # fmt: skip
NUM_TICKS = 6


@dataclass(frozen=True, slots=True)
class PlotPoint:
    """One point: where it is, and what it says when it is pointed at."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class _Axis:
    """A value's place between `first` and `last` pixels."""

    low: float
    high: float
    first: float
    last: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(value) - low) / (high - low)
        return self.first + share * (self.last - self.first)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            decades = range(
                math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1
            )
            found = [m * 10.0**d for d in decades for m in (1, 2, 5)]
        else:
            rough = (self.high - self.low) / NUM_TICKS
            size = 10.0 ** math.floor(math.log10(rough))
            step = next(m * size for m in (1, 2, 5, 10) if m * size >= rough)
            first = math.ceil(self.low / step)
            last = math.floor(self.high / step)
            found = [number * step for number in range(first, last + 1)]
        return [v for v in found if self.low <= v <= self.high]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def line_plot(
    title: str,
    labels: tuple[str, str],
    curves: Mapping[str, Sequence[PlotPoint]],
    *,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Returns an SVG document of the curves.

    Args:
        title: above the plot.
        labels: of the x and the y axis.
        curves: points by name, in the order in which they are joined; a curve without
            points is left out.
        log_x, log_y: a logarithmic axis; all its values are above 0.
    Raises:
        ValueError: no curve has a point.
    """
    drawn = {name: points for name, points in curves.items() if points}
    if not drawn:
        raise ValueError("no curve has a point")
    points = [point for line in drawn.values() for point in line]
    across = _axis([p.x for p in points], (LEFT, WIDTH - RIGHT), log_x)
    up = _axis([p.y for p in points], (HEIGHT - BOTTOM, TOP), log_y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14">{escape(title)}</text>',
        *_grid(across, up, labels),
    ]
    for number, (name, line) in enumerate(drawn.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts += _curve(line, across, up, colour)
        parts += _legend(name, number, colour)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axis(values: list[float], pixels: tuple[int, int], logarithmic: bool) -> _Axis:
    low, high = min(values), max(values)
    if low == high:  # one point stands in the middle
        low, high = low - 0.5 * abs(low or 1), high + 0.5 * abs(high or 1)
    return _Axis(low, high, *pixels, logarithmic)


def _grid(across: _Axis, up: _Axis, labels: tuple[str, str]) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    line = '<line stroke="#dddddd" x1="{}" y1="{}" x2="{}" y2="{}"/>'
    parts = []
    for value in across.ticks():
        x = f"{across.place(value):.1f}"
        parts.append(line.format(x, TOP, x, bottom))
        parts.append(
            f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{value:g}</text>'
        )
    for value in up.ticks():
        y = f"{up.place(value):.1f}"
        parts.append(line.format(LEFT, y, right, y))
        parts.append(
            f'<text x="{LEFT - 8}" y="{y}" text-anchor="end" '
            f'dominant-baseline="middle">{value:,.6g}</text>'
        )
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">'
        f"{escape(labels[0])}</text>"
    )
    parts.append(
        f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">'
        f"{escape(labels[1])}</text>"
    )
    return parts


def _curve(
    line: Sequence[PlotPoint], across: _Axis, up: _Axis, colour: str
) -> list[str]:
    places = [(across.place(p.x), up.place(p.y)) for p in line]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [
        f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{joined}"/>'
    ]
    for point, (x, y) in zip(line, places, strict=True):
        said = f"{point.text}: {point.x:.4g}, {point.y:.4g}"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}">'
            f"<title>{escape(said)}</title></circle>"
        )
    return parts


def _legend(name: str, number: int, colour: str) -> list[str]:
    x, y = WIDTH - RIGHT + 14, TOP + 12 + 20 * number
    return [
        f'<rect x="{x}" y="{y - 5}" width="14" height="4" fill="{colour}"/>',
        f'<text x="{x + 20}" y="{y}" dominant-baseline="middle">{escape(name)}</text>',
    ]
