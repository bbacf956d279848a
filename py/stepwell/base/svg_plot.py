"""Drawing figures as SVG text: a page with them needs no script and no network.

One `Plot` is a rectangle with two scales; what is drawn in it stays in it. Charts for
common uses stand in `svg_charts`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

# Tell apart without colour vision (Okabe and Ito), grey last.
COLOURS = (
    *("#0072b2", "#e69f00", "#009e73", "#d55e00"),
    *("#cc79a7", "#56b4e9", "#8b6914", "#666666"),
)
WARNING = "#d00000"

_NUM_TICKS = 6
_MAX_FINE_DECADES = 5


def colour_of(number: int) -> str:
    """Returns the colour of the n-th curve; the ninth has that of the first."""
    return COLOURS[number % len(COLOURS)]


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a value stands between two ends; what is beyond them stands at them.

    Attributes:
        low, high: the ends, low < high; above 0 on a logarithmic scale.
        logarithmic: equal ratios are equal lengths.
    """

    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def around(cls, values: Sequence[float], logarithmic: bool = False) -> "Scale":
        """Returns a scale from the lowest to the highest; a lone value is central."""
        low, high = min(values), max(values)
        if low == high:
            low, high = low - 0.5 * abs(low or 1), high + 0.5 * abs(high or 1)
        return cls(low, high, logarithmic)

    @classmethod
    def up_to(cls, highest: float) -> "Scale":
        """Returns a scale from 0 to a round number, `highest` or somewhat above it."""
        step = 10.0 ** math.floor(math.log10(highest))
        return cls(0.0, math.ceil(highest / step * 2) / 2 * step)

    def share(self, value: float) -> float:
        """Returns how far from `low` to `high` a value is, in [0, 1]."""
        low, high = self._bent(self.low), self._bent(self.high)
        if self.logarithmic and value <= 0:
            return 0.0
        return min(max((self._bent(value) - low) / (high - low), 0.0), 1.0)

    def ticks(self) -> list[float]:
        """Returns round values on the scale, ascending."""
        if self.logarithmic:
            first = math.floor(math.log10(self.low))
            last = math.ceil(math.log10(self.high))
            # Over many decades their texts would lie on one another.
            steps = (1, 2, 5) if last - first <= _MAX_FINE_DECADES else (1,)
            values = [m * 10.0**d for d in range(first, last + 1) for m in steps]
        else:
            rough = (self.high - self.low) / _NUM_TICKS
            size = 10.0 ** math.floor(math.log10(rough))
            step = next(m * size for m in (1, 2, 5, 10) if m * size >= rough)
            begin, end = math.ceil(self.low / step), math.floor(self.high / step)
            values = [number * step for number in range(begin, end + 1)]
        return [value for value in values if self.low <= value <= self.high]

    def _bent(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; `top` counts downwards."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.top + self.height


Marks = Iterable[tuple[float, str]]
"""Values on a scale, each with its text."""


@dataclass(slots=True)
class Plot:
    """What is drawn into one rectangle, first things lowest.

    Attributes:
        box: the rectangle.
        across, up: scales of x and y.
        parts: the SVG elements so far.
    """

    box: Box
    across: Scale
    up: Scale
    parts: list[str] = field(default_factory=list)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Returns where a point stands, in pixels."""
        return (
            self.box.left + self.box.width * self.across.share(x),
            self.box.bottom - self.box.height * self.up.share(y),
        )

    def frame(self) -> None:
        """Draws the edges of the rectangle."""
        box = self.box
        self.parts.append(
            f'<rect x="{box.left:g}" y="{box.top:g}" width="{box.width:g}" '
            f'height="{box.height:g}" fill="none" stroke="#999"/>'
        )

    def marks_across(self, marks: Marks, *, lines: bool = False) -> None:
        """Writes texts below the rectangle, with vertical lines if asked for."""
        for value, words in marks:
            x, _ = self.place(value, self.up.low)
            if lines:
                self._rule(x, self.box.top, x, self.box.bottom)
            self.parts.append(text(x, self.box.bottom + 16, words, "middle"))

    def marks_up(self, marks: Marks, *, lines: bool = False) -> None:
        """Writes texts left of the rectangle, with horizontal lines if asked for."""
        for value, words in marks:
            _, y = self.place(self.across.low, value)
            if lines:
                self._rule(self.box.left, y, self.box.right, y)
            self.parts.append(text(self.box.left - 6, y + 4, words, "end"))

    def line(
        self,
        points: Iterable[tuple[float, float]],
        colour: str,
        *,
        dashed: bool = False,
    ) -> None:
        """Joins points."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<polyline points="{self._joined(points)}" fill="none" '
            f'stroke="{colour}" stroke-width="1.6"{dash}/>'
        )

    def area(self, points: Iterable[tuple[float, float]], colour: str) -> None:
        """Fills what points go round."""
        self.parts.append(
            f'<polygon points="{self._joined(points)}" fill="{colour}" '
            'fill-opacity="0.8"/>'
        )

    def dot(self, x: float, y: float, words: str, colour: str) -> None:
        """Draws a point that says something when it is pointed at."""
        across, up = self.place(x, y)
        self.parts.append(
            f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3" fill="{colour}">'
            f"<title>{escape(words)}</title></circle>"
        )

    def level(self, y: float) -> None:
        """Draws a limit: a dashed line over the whole width."""
        ends = ((self.across.low, y), (self.across.high, y))
        self.line(ends, WARNING, dashed=True)

    def shade(self, begin: float, end: float) -> None:
        """Darkens from one x to another."""
        left, _ = self.place(begin, self.up.low)
        right, _ = self.place(end, self.up.low)
        self.parts.append(
            f'<rect x="{left:.1f}" y="{self.box.top:g}" width="{right - left:.1f}" '
            f'height="{self.box.height:g}" fill="#999" fill-opacity="0.18"/>'
        )

    def _rule(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            'stroke="#999" stroke-opacity="0.4"/>'
        )

    def _joined(self, points: Iterable[tuple[float, float]]) -> str:
        places = (self.place(x, y) for x, y in points)
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def text(
    x: float, y: float, words: str, anchor: str = "start", *, bold: bool = False
) -> str:
    """Returns words at a place; `anchor` is start, middle or end."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>'
        f"{escape(words)}</text>"
    )


def legend_down(names: Mapping[str, str], left: float, top: float) -> list[str]:
    """Returns one line for each name; `names` are colours by name."""
    return [
        part
        for number, (name, colour) in enumerate(names.items())
        for part in _entry(name, colour, left, top + 20 * number)
    ]


def legend_across(names: Mapping[str, str], right: float, top: float) -> list[str]:
    """Returns the names in one line that ends at `right`."""
    left = right - sum(_width(name) for name in names)
    parts: list[str] = []
    for name, colour in names.items():
        parts += _entry(name, colour, left, top)
        left += _width(name)
    return parts


def _width(name: str) -> float:
    return 7.0 * len(name) + 24


def _entry(name: str, colour: str, left: float, top: float) -> list[str]:
    return [
        f'<rect x="{left:.0f}" y="{top:.0f}" width="10" height="10" fill="{colour}"/>',
        text(left + 14, top + 9, name),
    ]


def element(width: float, height: float, parts: Iterable[str], label: str = "") -> str:
    """Returns an <svg> for a page; its text has the page's font and colour."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def moved(part: str, left: float, top: float) -> str:
    """Returns an element at another place, to stand beside others."""
    return f'<g transform="translate({left:g} {top:g})">{part}</g>'


def document(width: float, height: float, parts: Iterable[str]) -> str:
    """Returns a file of its own, on white paper."""
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="{width:g}" height="{height:g}" fill="white"/>'
        f"\n{body}\n</svg>\n"
    )
