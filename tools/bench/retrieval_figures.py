"""The arithmetic of the retrieval benchmark: recall, points of a curve, rows.

Letters: B queries, K neighbours asked for.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from bench.report import ratio_to_best

OURS = "stepwell"

Row = dict[str, Any]
Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Point:
    """One measured point of an engine's curve.

    Attributes:
        ef: width of the search.
        recall: share of the true neighbours found.
        rate: queries a second.
    """

    ef: int
    recall: float
    rate: float


@dataclass(frozen=True, slots=True)
class Bar:
    """What a row has to reach; an absent part demands nothing.

    Attributes:
        times: how many times better than the best peer.
        share: the largest share of the best peer's figure, where lower is better.
        limit: the largest figure of ours that holds.
        holds: a demand that the figure itself does not show, such as a recall.
        also: that demand in words.
    """

    times: float | None = None
    share: float | None = None
    limit: float | None = None
    holds: bool = True
    also: str = ""

    def text(self, unit: str) -> str:
        """The bar in words."""
        parts = []
        if self.times is not None:
            parts.append(f">= {self.times:g}x the best peer")
        if self.share is not None:
            parts.append(f"<= {self.share:g}x the best peer")
        if self.limit is not None:
            parts.append(f"<= {self.limit:g} {unit}")
        return ", ".join([*parts, self.also] if self.also else parts)

    def is_met(self, ours: float, ratio: float | None) -> bool:
        """Whether these figures reach it; without a peer none that needs it."""
        wanted = [self.times] if self.times is not None else []
        wanted += [1 / self.share] if self.share is not None else []
        if any(ratio is None or ratio < times for times in wanted):
            return False
        return self.holds and (self.limit is None or ours <= self.limit)


def row(
    work: str,
    unit: str,
    figures: Mapping[str, float],
    *,
    lower_is_better: bool,
    bar: Bar | None = None,
    also: Mapping[str, float] | None = None,
) -> Row:
    """Returns a row as a dict of BenchRow's fields.

    Args:
        work: what was measured, with sizes and quality.
        unit: of every figure.
        figures: ours under OURS, and the peers that the bar counts.
        lower_is_better: of times and bytes, not of rates.
        bar: None for a row that informs.
        also: figures that only inform.
    """
    ours = figures[OURS]
    peers = {name: value for name, value in figures.items() if name != OURS}
    ratio = ratio_to_best(ours, peers, lower_is_better)
    return {
        "work": work,
        "ours": ours,
        "unit": unit,
        "peers": peers,
        "also": dict(also or {}),
        "ratio": ratio,
        "bar": bar.text(unit) if bar else "",
        "holds": bar is None or bar.is_met(ours, ratio),
    }


def without_bars(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows as ones that only inform: at small sizes a bar means nothing."""
    return [line | {"bar": "", "holds": True} for line in rows]


def recall_of(found: Labels, truth: Labels) -> float:
    """Returns the share of true ids found, in any order.

    Args:
        found: ids [B, K], -1 for padding.
        truth: ids [B, K'], -1 for padding, which is not looked for.
    """
    hits = [np.isin(t[t >= 0], f).sum() for f, t in zip(found, truth, strict=True)]
    wanted = int((truth >= 0).sum())
    return float(np.sum(hits) / wanted) if wanted else 1.0


def rate_at(recall: float, points: Sequence[Point]) -> float:
    """Returns the best rate that reaches the recall, 0 where none does.

    Between a point below the recall and one above it the logarithm of the rate is
    taken as linear in the recall.
    """
    best = 0.0
    for place, point in enumerate(points):
        if point.recall < recall:
            continue
        best = max(best, point.rate)
        if place > 0 and points[place - 1].recall < recall:
            before = points[place - 1]
            share = (recall - before.recall) / (point.recall - before.recall)
            logs = np.log([before.rate, point.rate])
            best = max(best, float(np.exp(logs[0] + share * (logs[1] - logs[0]))))
    return best


def width_at(recall: float, points: Sequence[Point]) -> int:
    """Returns the width that reaches the recall, between two points where it must.

    The widest measured where none reaches it.
    """
    before: Point | None = None
    for point in points:
        if point.recall >= recall:
            if before is None:
                return point.ef
            share = (recall - before.recall) / (point.recall - before.recall)
            return int(np.ceil(before.ef + share * (point.ef - before.ef)))
        before = point
    return points[-1].ef


def timed(
    call: Callable[Arguments, Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> tuple[float, Result]:
    """Returns the seconds that a call took, and what it returned."""
    started = time.perf_counter()
    result = call(*args, **kwargs)
    return time.perf_counter() - started, result


def say(text: str) -> None:
    """Tells whoever waits what is being measured, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
