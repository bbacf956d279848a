"""Swaps under open-loop load: what callers see of them, slice by slice.

A slice begins when the registry names another release and ends half a second after all
processes of the server have it. Between two of them the server is left alone, for as
long but some seconds at most, and that is what a slice is held against: the same run,
the same minute.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event

import numpy as np

from bench.retrieval_figures import say
from generator import RunningLoad, start
from lanes import Lane
from load_run import LoadRun, quantile
from open_loop import poisson
from stepwell.client.types import Tier

SETTLE_S = 1.5
"""Of every round, before it counts."""

AFTER_S = 0.5
"""What comes after a swap belongs to it: unloading, first touches."""

MIN_QUIET_S, MAX_QUIET_S = 1.0, 6.0
_MAX_VOID_ROUNDS = 3
_LONGEST_RUN_S = 240.0

GoLive = Callable[[], None]
Prepare = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Rounds:
    """How a number of swaps is spread over runs of the generator.

    Attributes:
        num_swaps: in all.
        rate: calls a second.
        seconds: of one run; longer where not even one swap fits.
        most_a_run: swaps in one run.
    """

    num_swaps: int
    rate: float
    seconds: float = 30.0
    most_a_run: int = 10


@dataclass(slots=True)
class SwapLoad:
    """What was seen.

    Attributes:
        swaps: calls during each swap.
        quiet: calls between them.
        took_s: from the word to the last process that had it, of each swap.
        void: why it means nothing, "" when it does.
    """

    swaps: list[LoadRun] = field(default_factory=list)
    quiet: list[LoadRun] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    void: str = ""

    @property
    def num_calls(self) -> int:
        """Of swaps and quiet together."""
        return sum(map(len, [*self.swaps, *self.quiet]))

    @property
    def num_failed(self) -> int:
        """Calls without an answer, whenever."""
        return sum(int((~run.ok()).sum()) for run in [*self.swaps, *self.quiet])

    def full_share(self, slices: Sequence[LoadRun]) -> float:
        """Returns the share of FULL in the answers of some slices."""
        tiers = np.concatenate([run.tier[run.ok()] for run in slices])
        return float((tiers == Tier.FULL).mean())


def p99_ms(slices: Sequence[LoadRun]) -> float:
    """Returns the 99th percentile of all calls of some slices together."""
    return quantile(np.concatenate([run.latency_ms() for run in slices]), 0.99)


def worst_p99_ms(slices: Sequence[LoadRun]) -> float:
    """Returns the highest 99th percentile of a single slice."""
    return max(quantile(run.latency_ms(), 0.99) for run in slices)


def swap_under_load(
    address: str, lane: Lane, rounds: Rounds, prepare: Prepare, go_live: GoLive
) -> SwapLoad:
    """Swaps again and again under load, in as many runs as it takes.

    Args:
        address: host:port of the server.
        lane: what callers ask.
        rounds: how often and at which rate.
        prepare: makes a number of releases that can go live, before each run.
        go_live: names the next release and returns when every process has it.
    """
    seen, num_void, seed, seconds = SwapLoad(), 0, 0, rounds.seconds
    while len(seen.swaps) < rounds.num_swaps:
        seed += 1
        most = min(rounds.num_swaps - len(seen.swaps), rounds.most_a_run)
        prepare(most)
        schedule = poisson(rounds.rate, seconds, seed)
        with start(address, schedule, [lane]) as load:
            spans = _swaps(load, seconds, most, go_live)
            run = load.wait()
        void = run.void
        if not _first_is_within(spans, seconds):
            seconds = min(2 * seconds, _LONGEST_RUN_S)
            void = void or f"a swap took {spans[0][1] - spans[0][0]:.1f} s"
        if void:
            say(f"void: {void}")
            num_void += 1
            if num_void == _MAX_VOID_ROUNDS:
                seen.void = void
                break
            continue
        _cut(run, spans, seconds, seen)
        say(f"{len(seen.swaps)} of {rounds.num_swaps} swaps: {_words(seen)}")
    return seen


def _swaps(
    load: RunningLoad, seconds: float, most: int, go_live: GoLive
) -> list[tuple[float, float]]:
    """Swaps while there is time for one more; returns when each began and was done."""
    spans: list[tuple[float, float]] = []
    pause, longest_s = Event(), 0.0
    _wait_until(load, SETTLE_S + MIN_QUIET_S, pause)
    while len(spans) < most:
        begin_s = _now(load)
        if spans and begin_s + 1.5 * longest_s + AFTER_S > seconds:
            break
        go_live()
        done_s = _now(load)
        spans.append((begin_s, done_s))
        longest_s = max(longest_s, done_s - begin_s)
        quiet_s = min(max(done_s - begin_s + AFTER_S, MIN_QUIET_S), MAX_QUIET_S)
        _wait_until(load, done_s + AFTER_S + quiet_s, pause)
    return spans


def _first_is_within(spans: list[tuple[float, float]], seconds: float) -> bool:
    return spans[0][1] + AFTER_S <= seconds


def _cut(
    run: LoadRun, spans: list[tuple[float, float]], seconds: float, seen: SwapLoad
) -> None:
    """Adds the slices of a run; one that ran over its end is left out."""
    quiet_from_s = SETTLE_S
    for begin_s, done_s in spans:
        if done_s + AFTER_S > seconds:
            break
        seen.quiet.append(run.between(quiet_from_s, begin_s))
        seen.swaps.append(run.between(begin_s, done_s + AFTER_S))
        seen.took_s.append(done_s - begin_s)
        quiet_from_s = done_s + AFTER_S


def _words(seen: SwapLoad) -> str:
    return (
        f"p99 {p99_ms(seen.swaps):.1f} ms, quiet {p99_ms(seen.quiet):.1f} ms, worst "
        f"{worst_p99_ms(seen.swaps):.1f} and {worst_p99_ms(seen.quiet):.1f} ms, "
        f"{seen.num_failed} failed, {np.mean(seen.took_s):.2f} s each"
    )


def _now(load: RunningLoad) -> float:
    return time.perf_counter() - load.started_s


def _wait_until(load: RunningLoad, due_s: float, pause: Event) -> None:
    pause.wait(max(due_s - _now(load), 0.0))
