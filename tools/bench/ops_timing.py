"""How the benchmark `ops` measures: contenders in turns, medians, a bar.

Random ids rotate among 8 index sets so that no cache is measured, and the contenders of
one turn each have another set, so that none finds the rows of one shortly before it.
A span in which the system took the processor away measures the other programs of the
machine: it is left out of the median.
"""

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.report import ratio_to_best

NUM_INDEX_SETS = 8
OURS = "ours"
# Coprime to the number of sets: eight contenders have eight.
_SETS_APART = 3
# Enough turns for a median, when one turn takes as long as the time given.
_LEAST_TURNS = NUM_INDEX_SETS

Row = dict[str, Any]
Call = Callable[[int], Tensor]  # the argument numbers the index set


@dataclass(frozen=True, slots=True)
class Bar:
    """What a row has to reach.

    Attributes:
        times: how many times faster than the best peer.
        share: the least share of the machine's ceiling, None for no such bar.
        as_time: put into words as a share of the best peer's time.
    """

    times: float
    share: float | None = None
    as_time: bool = False

    def text(self) -> str:
        """The bar in words."""
        words = f">= {self.times:g}x the best peer"
        if self.as_time:
            words = f"<= {1 / self.times:g}x the best peer's time"
        if self.share is not None:
            words += f", >= {self.share:.0%} of the ceiling"
        return words

    def holds(self, ratio: float | None, share: float | None) -> bool:
        """Whether these figures reach it; without a figure it is not reached."""
        if self.share is not None and (share is None or share < self.share):
            return False
        return ratio is not None and ratio >= self.times


@dataclass(frozen=True, slots=True)
class Contest:
    """One row to be measured.

    Attributes:
        work: what, with sizes.
        ours: our call.
        peers: what we are compared with, in the same work.
        also: calls that only inform, such as our op on other memory.
        ceilings: calls of the hand-written loop; the fastest is the ceiling.
        ceiling_us: a ceiling that is not a call.
        bar: None for a row that informs.
    """

    work: str
    ours: Call
    peers: Mapping[str, Call]
    also: Mapping[str, Call] = field(default_factory=dict)
    ceilings: Mapping[int, Call] = field(default_factory=dict)
    ceiling_us: float | None = None
    bar: Bar | None = None

    def calls(self) -> dict[str, Call]:
        """Every contender under its own name."""
        ceilings = {f"ceiling {far}": call for far, call in self.ceilings.items()}
        return {OURS: self.ours, **self.peers, **self.also, **ceilings}


def largest_error(found: Tensor, expected: Tensor) -> float:
    """Returns the largest |found - expected| / max(1, |expected|)."""
    difference = (found.detach().double() - expected).abs()
    return float((difference / expected.abs().clamp(min=1)).max())


def measured(contest: Contest, expected: Tensor, seconds: float) -> Row:
    """Returns the row of a contest, as a dict of BenchRow's fields.

    Args:
        contest: the calls.
        expected: float64, what index set 0 gives.
        seconds: time for each contender.
    """
    error = largest_error(contest.ours(0), expected)
    times = medians(contest.calls(), seconds)
    ours = times[OURS]
    peers = {name: times[name] for name in contest.peers}
    ratio = ratio_to_best(ours, peers, lower_is_better=True)
    ceilings = [times[f"ceiling {far}"] for far in contest.ceilings]
    ceiling = min(ceilings) if ceilings else contest.ceiling_us
    share = None if ceiling is None else ceiling / ours
    # Without a peer in the run its bar can be neither met nor missed.
    bar = contest.bar if peers else None
    return {
        "work": f"{contest.work} (largest error {error:.1e})",
        "ours": ours,
        "unit": "us",
        "peers": peers,
        "also": {name: times[name] for name in contest.also},
        "ratio": ratio,
        "ceiling": ceiling,
        "share": share,
        "bar": bar.text() if bar else "",
        "holds": bar is None or bar.holds(ratio, share),
    }


def on_two_threads(contest: Contest, expected: Tensor, seconds: float) -> Row:
    """Returns the same row on two threads; no bar, and no ceiling, which has one."""
    with threads(2):
        both = Contest(
            f"{contest.work}, 2 threads", contest.ours, contest.peers, contest.also
        )
        return measured(both, expected, seconds)


def medians(calls: dict[str, Call], seconds: float) -> dict[str, float]:
    """Returns the median time of each call in us, the calls taking turns.

    Of the spans without interruption where there are at least 8 of them, else of all.
    """
    for call in calls.values():
        for index_set in range(NUM_INDEX_SETS):
            call(index_set)
    spans: dict[str, list[float]] = {name: [] for name in calls}
    quiet: dict[str, list[float]] = {name: [] for name in calls}
    until = _now() + seconds * len(calls)
    turn = 0
    while turn < _LEAST_TURNS or _now() < until:
        for place, (name, call) in enumerate(calls.items()):
            index_set = (turn + place * _SETS_APART) % NUM_INDEX_SETS
            interruptions = _interruptions()
            started = _now()
            call(index_set)
            span = (_now() - started) * 1e6
            spans[name].append(span)
            if _interruptions() == interruptions:
                quiet[name].append(span)
        turn += 1
    return {
        name: float(
            np.median(quiet[name] if len(quiet[name]) >= _LEAST_TURNS else all_)
        )
        for name, all_ in spans.items()
    }


def _now() -> float:
    return time.perf_counter()


def _interruptions() -> int:
    """How often the system took the processor from a thread of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Gives torch this many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
