"""Schedules of open-loop load: calls leave whether or not answers come back.

Latency is counted from the moment at which a call was meant to leave. A closed loop
waits for a slow server before it asks again and so never sees the queue it would have
met (coordinated omission); this one does.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import InvalidArgumentError


@dataclass(frozen=True)
class Schedule:
    """When calls leave, and of which kind each is.

    Attributes:
        due_s: float64 [N], ascending seconds from the start.
        lane: int16 [N], number of each call's lane.
    """

    due_s: npt.NDArray[np.float64]
    lane: npt.NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.due_s)

    @property
    def seconds(self) -> float:
        """When the last call is due."""
        return float(self.due_s[-1]) if len(self) else 0.0


def poisson(
    rate: float | Callable[[float], float], seconds: float, seed: int, lane: int = 0
) -> Schedule:
    """Returns random arrivals without memory.

    Args:
        rate: calls a second; a function gives it at each second of the run.
        seconds: length of the schedule, > 0.
        seed: of the arrivals.
        lane: of all of them.
    Source: thinning, Lewis and Shedler 1979: arrivals at the highest rate, each kept
        with the probability rate(t) / highest. The highest is looked up every 10 ms.
    """
    if not seconds > 0:
        raise InvalidArgumentError(f"seconds is {seconds}, must be > 0", "seconds")
    random = np.random.default_rng(seed)
    if not callable(rate):
        due_s = _uniform_rate(_checked(rate), seconds, random)
    else:
        rates = [rate(tick / 100) for tick in range(math.ceil(seconds * 100) + 1)]
        highest = _checked(max(rates))
        due_s = _uniform_rate(highest, seconds, random)
        wanted = np.array([rate(t) for t in due_s.tolist()])
        due_s = due_s[random.random(len(due_s)) * highest < wanted]
    return Schedule(due_s, np.full(len(due_s), lane, np.int16))


def merged(*schedules: Schedule) -> Schedule:
    """Returns the calls of all schedules in one order."""
    due_s = np.concatenate([schedule.due_s for schedule in schedules])
    lane = np.concatenate([schedule.lane for schedule in schedules])
    order = np.argsort(due_s, kind="stable")
    return Schedule(due_s[order], lane[order])


def trace(path: Path, lane: int = 0) -> Schedule:
    """Reads recorded arrivals: one number a line, seconds from any origin.

    Args:
        path: text file; a second number on a line is the lane.
        lane: of lines that name none.
    Raises:
        InvalidArgumentError: a line is no number; names it.
    """
    due_s, lanes = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            due_s.append(float(words[0]))
            lanes.append(int(words[1]) if len(words) > 1 else lane)
        except ValueError as error:
            raise InvalidArgumentError(
                f"{path}:{number}: {line!r} is no arrival", "trace"
            ) from error
    if not np.isfinite(due_s).all():
        raise InvalidArgumentError(f"{path}: arrivals must be finite", "trace")
    order = np.argsort(due_s, kind="stable")
    times = np.array(due_s)[order]
    times -= times[0] if len(times) else 0.0
    return Schedule(times, np.array(lanes, np.int16)[order])


def _checked(rate: float) -> float:
    if not 0 < rate < 1e6:
        raise InvalidArgumentError(f"rate is {rate}, must be in (0, 1e6)", "rate")
    return rate


def _uniform_rate(
    rate: float, seconds: float, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    mean = rate * seconds
    # Enough gaps to reach the end in all but one of a billion runs.
    num_gaps = int(mean + 6 * np.sqrt(mean) + 10)
    times = np.cumsum(random.exponential(1 / rate, num_gaps))
    return times[times < seconds]
