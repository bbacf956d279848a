"""Open-loop load: calls leave on a fixed schedule, whether or not answers come back.

Latency is counted from the moment at which a call was meant to leave. A closed loop
waits for a slow server before it asks again and so never sees the queue it would have
met (coordinated omission); this one does.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stepwell.base.errors import InvalidArgumentError, StepwellError
from stepwell.client.async_client import AsyncRecommendClient
from stepwell.client.attempts import ClientOptions
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.types import Answer
from tally import LoadReport, Tally

MAX_LATE_MS = 10.0
"""A call that leaves later than this after its time did not leave on time."""

MIN_ON_TIME_SHARE = 0.99
MAX_CPU_SHARE = 0.85


@dataclass(frozen=True, slots=True)
class OpenLoopOptions:
    """A run.

    Attributes:
        rate: calls a second, mean of the Poisson process.
        seconds: length of the schedule.
        deadline_ms: of every call.
        num_items: K of every call.
        seed: of the schedule.
    """

    rate: float
    seconds: float
    deadline_ms: int = 200
    num_items: int = 10
    seed: int = 1


def poisson_schedule(rate: float, seconds: float, seed: int) -> npt.NDArray[np.float64]:
    """Returns float64 [N], ascending seconds from the start at which calls leave."""
    random = np.random.default_rng(seed)
    mean = rate * seconds
    # Enough gaps to reach the end in all but one of a billion runs.
    num_gaps = int(mean + 6 * np.sqrt(mean) + 10)
    times = np.cumsum(random.exponential(1 / rate, num_gaps))
    return times[times < seconds]


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


@dataclass(slots=True)
class Generator:
    """How well the schedule was kept."""

    num_on_time: int = 0
    num_sent: int = 0
    cpu_share: float = 0.0

    def void(self) -> str:
        """Returns why the run means nothing, "" when it does."""
        share = self.num_on_time / self.num_sent if self.num_sent else 0.0
        if share < MIN_ON_TIME_SHARE:
            return f"{share:.1%} of the calls left on time, must be 99 %"
        if self.cpu_share > MAX_CPU_SHARE:
            return f"the generator used {self.cpu_share:.0%} of a core, at most 85 %"
        return ""


async def drive(
    ask: Callable[[], Awaitable[Answer]],
    schedule: npt.NDArray[np.float64],
    now: Callable[[], float] = time.monotonic,
    cpu: Callable[[], float] = time.process_time,
) -> LoadReport:
    """Makes a call at every time of the schedule and waits for the last answer.

    Args:
        ask: makes one call; a StepwellError is counted as a failed one.
        schedule: float64 [N], seconds from now, ascending.
        now, cpu: seconds of wall and of processor time.
    """
    tally, generator = Tally(), Generator()
    start, start_cpu = now(), cpu()

    async def one(due: float) -> None:
        try:
            answer = await ask()
        except StepwellError as error:
            tally.add_error("recommend", (now() - due) * 1e3, error)
        else:
            tally.add("recommend", (now() - due) * 1e3, answer)

    calls: set[asyncio.Task[None]] = set()
    for offset in schedule.tolist():
        due = start + offset
        await asyncio.sleep(max(due - now(), 0.0))
        generator.num_sent += 1
        generator.num_on_time += (now() - due) * 1e3 <= MAX_LATE_MS
        call = asyncio.create_task(one(due))
        calls.add(call)
        call.add_done_callback(calls.discard)
    await asyncio.gather(*calls)
    seconds = now() - start
    generator.cpu_share = (cpu() - start_cpu) / max(seconds, 1e-9)
    return tally.report(seconds, generator.void())


async def run_open_loop(
    address: str, user_ids: list[str], options: OpenLoopOptions
) -> LoadReport:
    """Asks a ranker for slates of the users in turn, without retries."""
    schedule = poisson_schedule(options.rate, options.seconds, options.seed)
    once = ClientOptions(options.deadline_ms, RetryOptions(max_attempts=1))
    users = cycle(user_ids)
    async with AsyncRecommendClient(address, once) as client:
        # Connecting is no part of the first call.
        await client.recommend(next(users), 1, deadline_ms=5_000)
        return await drive(
            lambda: client.recommend(next(users), options.num_items), schedule
        )
