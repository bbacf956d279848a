"""Line and area plots as SVG text: a report needs no script and no network."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 760, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 26, 30
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
# Tell apart without colour vision (Okabe and Ito), grey last.
COLOURS = (
    *("#0072b2", "#e69f00", "#009e73", "#d55e00"),
    *("#cc79a7", "#56b4e9", "#8b6914", "#666666"),
)


@dataclass(frozen=True)
class Frame:
    """What surrounds the curves.

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


def lines(frame: Frame, rows: Mapping[str, Sequence[float]]) -> str:
    """Returns curves over seconds; each row has one value a second."""
    top = _top(frame, [value for row in rows.values() for value in row])
    size = max((len(row) for row in rows.values()), default=0)
    parts = _surroundings(frame, top, size, list(rows))
    for number, row in enumerate(rows.values()):
        points = " ".join(_point(x + 0.5, y, size, top) for x, y in enumerate(row))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke-width="1.6" '
            f'stroke="{_colour(number)}"/>'
        )
    return _svg(frame, parts)


def areas(frame: Frame, rows: Mapping[str, Sequence[float]]) -> str:
    """Returns areas that lie on one another; each row has one value a second."""
    size = max((len(row) for row in rows.values()), default=0)
    sums = [0.0] * size
    layers = []
    for row in rows.values():
        floor, sums = sums, [a + b for a, b in zip(sums, row, strict=True)]
        layers.append((floor, sums))
    top = _top(frame, sums)
    parts = _surroundings(frame, top, size, list(rows))
    for number, (floor, ceiling) in enumerate(layers):
        forth = [_point(x + 0.5, y, size, top) for x, y in enumerate(ceiling)]
        back = [_point(x + 0.5, y, size, top) for x, y in enumerate(floor)]
        points = " ".join([*forth, *reversed(back)])
        parts.append(
            f'<polygon points="{points}" fill="{_colour(number)}" fill-opacity="0.8"/>'
        )
    return _svg(frame, parts)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _top(frame: Frame, values: Sequence[float]) -> float:
    if frame.top:
        return frame.top
    highest = max([*values, frame.limit or 0.0, 1e-9])
    step: float = 10.0 ** math.floor(math.log10(highest))
    return math.ceil(highest / step * 2) / 2 * step


def _point(x: float, y: float, size: int, top: float) -> str:
    across = _LEFT + _PLOT_WIDTH * x / max(size, 1)
    up = _TOP + _PLOT_HEIGHT * (1 - min(max(y / top, 0.0), 1.0))
    return f"{across:.1f},{up:.1f}"


def _surroundings(frame: Frame, top: float, size: int, names: list[str]) -> list[str]:
    parts = []
    if frame.shade and size:
        begin, end = (_LEFT + _PLOT_WIDTH * at / size for at in frame.shade)
        parts.append(
            f'<rect x="{begin:.1f}" y="{_TOP}" width="{end - begin:.1f}" '
            f'height="{_PLOT_HEIGHT}" fill="#999" fill-opacity="0.18"/>'
        )
    for share in (0.0, 0.5, 1.0):
        height = _TOP + _PLOT_HEIGHT * (1 - share)
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{height:.1f}" '
            f'y2="{height:.1f}" stroke="#999" stroke-opacity="0.4"/>'
            f'<text x="{_LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">'
            f"{top * share:g}</text>"
        )
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        across = _LEFT + _PLOT_WIDTH * share
        parts.append(
            f'<text x="{across:.1f}" y="{HEIGHT - 10}" text-anchor="middle">'
            f"{size * share:.0f} s</text>"
        )
    if frame.limit is not None:
        height = _TOP + _PLOT_HEIGHT * (1 - min(frame.limit / top, 1.0))
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{height:.1f}" '
            f'y2="{height:.1f}" stroke="#d00" stroke-dasharray="5 4"/>'
        )
    return parts + _legend(names)


def _legend(names: list[str]) -> list[str]:
    parts, across = [], float(WIDTH - _RIGHT)
    for number, name in reversed(list(enumerate(names))):
        across -= 7.0 * len(name) + 20
        parts.append(
            f'<rect x="{across:.0f}" y="8" width="10" height="10" '
            f'fill="{_colour(number)}"/>'
            f'<text x="{across + 14:.0f}" y="17">{html.escape(name)}</text>'
        )
    return parts


def _svg(frame: Frame, parts: list[str]) -> str:
    title = html.escape(frame.title)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        f'aria-label="{title}"><text x="4" y="17" font-weight="bold">{title}</text>'
        f"{''.join(parts)}</svg>"
    )
