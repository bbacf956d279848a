"""Swaps at 0.7 C0, part of benchmark `releases`: S1, whole releases and deltas."""

from dataclasses import dataclass
from pathlib import Path
from threading import Event

from bench.ladder_runs import BUDGET_MS
from bench.releases_load import (
    Rounds,
    SwapLoad,
    p99_ms,
    swap_under_load,
    worst_p99_ms,
)
from bench.releases_world import COMPLETE_DELTAS, ReleaseWorld, release_world
from bench.report import BenchRow, at_least, at_most
from bench.retrieval_figures import say
from bench.serving_processes import ServedRelease
from capacity import CapacityOptions, capacity_of
from generator import generate
from lanes import Lane, recommend_lane
from open_loop import poisson
from stepwell.client.types import Tier

LOAD = 0.7
MAX_P99_RATIO = 1.2
MAX_MEMORY_CHANGE = 0.02
MIN_FULL_KEPT = 0.98
MAX_ROLLBACK_S = 1.0
DEADLINE_MS = 1_000
_REST_S = 3.0


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is done.

    Attributes:
        num_swaps: of the demo's release.
        num_delta_swaps: of deltas of it.
        num_large_swaps: of the release that is ten times larger.
        num_rollbacks: in one run.
        seconds: of one run of the generator.
        capacity_step_s: of the search for C0.
        trial_s: that a canary is on trial, at most.
        warm_s: of calls to each of the first releases.
        fill_s: of calls to the live release before memory is looked at.
        fixed_rate: calls a second in the place of 0.7 C0; None looks for C0.
    """

    num_swaps: int = 50
    num_delta_swaps: int = 50
    num_large_swaps: int = 5
    num_rollbacks: int = 12
    seconds: float = 90.0
    capacity_step_s: float = 4.0
    trial_s: float = 45.0
    warm_s: float = 16.0
    fill_s: float = 60.0
    fixed_rate: float | None = None


QUICK = Amounts(2, 2, 1, 2, 12.0, 1.0, 6.0, 2.0, 2.0, fixed_rate=10.0)


@dataclass(frozen=True, slots=True)
class Swapped:
    """What came of many swaps.

    Attributes:
        what: was swapped, in words.
        rate: calls a second.
        load: what callers saw.
        memory: change of the server's own memory, as a share.
        mapped: the same of what it has mapped of releases' files.
        memory_mib: the server's own memory after the first swaps.
    """

    what: str
    rate: float
    load: SwapLoad
    memory: float
    mapped: float
    memory_mib: float


def swaps(
    served: ServedRelease,
    scratch: Path,
    amounts: Amounts,
    what: str,
    *,
    num_swaps: int,
    is_delta: bool = False,
) -> tuple[Swapped, list[BenchRow]]:
    """Swaps under load; returns what was seen, and the rows of rollbacks behind it."""
    flags = (f"--delta_cache={scratch / COMPLETE_DELTAS}",) if is_delta else ()
    with release_world(served, scratch, is_delta=is_delta, flags=flags) as world:
        users = served.user_ids()
        lane = recommend_lane("callers", users, deadline_ms=DEADLINE_MS)
        rate = amounts.fixed_rate or LOAD * capacity(world, users, amounts)
        _warm(world, lane, rate, amounts.warm_s)
        before = _memory(world, lane, rate, amounts.fill_s)
        rounds = Rounds(num_swaps, rate, amounts.seconds)
        address = world.ranker.address
        load = swap_under_load(address, lane, rounds, world.publish, world.go_live)
        after = _memory(world, lane, rate, amounts.fill_s)
        own, mapped = (b / a - 1.0 for a, b in zip(before, after, strict=True))
        seen = Swapped(what, rate, load, own, mapped, before[0])
        rollbacks = [] if is_delta else rollback_rows(world, lane, rate, amounts, what)
    return seen, rollbacks


def rows_of(seen: Swapped) -> list[BenchRow]:
    """Returns the verdict on many swaps; that of a void run does not hold."""
    load, about = seen.load, f"{len(seen.load.swaps)} swaps of {seen.what}"
    if load.void:
        bar = "not void: " + load.void
        return [BenchRow(about, 0.0, "swaps", bar=bar, holds=False)]
    swapped, quiet = p99_ms(load.swaps), p99_ms(load.quiet)
    worst, worst_quiet = worst_p99_ms(load.swaps), worst_p99_ms(load.quiet)
    full = load.full_share(load.swaps) / load.full_share(load.quiet)
    took = sorted(load.took_s)
    return [
        at_most(
            f"{about} at 0.7 C0 ({seen.rate:.0f} calls/s, {load.num_calls:,} calls, "
            "two processes): calls without an answer",
            load.num_failed,
            "calls",
            0,
        ),
        at_most(
            f"{about}: p99 of the calls during swaps, {swapped:.1f} ms, to that of the "
            f"calls between them, {quiet:.1f} ms",
            swapped / quiet,
            "ratio",
            MAX_P99_RATIO,
        ),
        at_most(
            f"{about}: the worst slice's p99, {worst:.1f} ms, to that of the slices "
            f"between them, {worst_quiet:.1f} ms",
            worst / worst_quiet,
            "ratio",
            MAX_P99_RATIO,
        ),
        at_least(
            f"{about}: share of FULL in the answers, to that between them",
            full,
            "ratio",
            MIN_FULL_KEPT,
        ),
        at_most(
            f"{about}: change of the server's own memory ({seen.memory_mib:.0f} MiB, "
            f"anonymous; what it has mapped of releases {seen.mapped:+.1%})",
            abs(seen.memory),
            "share",
            MAX_MEMORY_CHANGE,
        ),
        BenchRow(
            f"{about}: from the word to the last process that serves it",
            took[len(took) // 2],
            "s median",
            also={"longest": took[-1]},
        ),
    ]


def rollback_rows(
    world: ReleaseWorld, lane: Lane, rate: float, amounts: Amounts, what: str
) -> list[BenchRow]:
    """Returns S4: back and forth between two releases under load."""
    number = amounts.num_rollbacks
    rounds = Rounds(number, rate, amounts.seconds, most_a_run=number)
    load = swap_under_load(
        world.ranker.address, lane, rounds, lambda _: None, world.go_back_or_forth
    )
    about = f"{len(load.took_s)} rollbacks under load, {what}"
    if load.void:
        bar = "not void: " + load.void
        return [BenchRow(about, 0.0, "rollbacks", bar=bar, holds=False)]
    return [
        at_most(
            f"{about}: from the word to the last process that serves it, the longest",
            max(load.took_s),
            "s",
            MAX_ROLLBACK_S,
        ),
        at_most(f"{about}: calls without an answer", load.num_failed, "calls", 0),
    ]


def capacity(world: ReleaseWorld, users: list[str], amounts: Amounts) -> float:
    """Returns C0 of a server as it is now, calls a second."""
    options = CapacityOptions(
        budget_ms=BUDGET_MS, seconds_a_step=amounts.capacity_step_s, progress=say
    )
    return capacity_of(world.ranker.address, users, Tier.FULL, options)


def _warm(world: ReleaseWorld, lane: Lane, rate: float, seconds: float) -> None:
    """Two swaps: from then on one release is live and one is kept for a rollback.

    Callers ask each of them for about as long as they will between two swaps.
    """
    generate(world.ranker.address, poisson(rate, seconds, 1), [lane])
    world.publish(2)
    for seed in (2, 3):
        world.go_live()
        generate(world.ranker.address, poisson(rate, seconds, seed), [lane])


def _memory(
    world: ReleaseWorld, lane: Lane, rate: float, seconds: float
) -> tuple[float, float]:
    """Returns what the server has of its own and what it has mapped, MiB.

    A server remembers the last slate of each user and begins anew with each release:
    how long ago the last swap was would be seen in its memory. Callers ask until most
    users have a slate in every process, before the swaps as after them.
    """
    generate(world.ranker.address, poisson(rate, seconds, 4), [lane])
    Event().wait(_REST_S)
    return world.anonymous_mib(), world.mapped_mib()
