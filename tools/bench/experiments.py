"""Benchmark of experiments: what an exposure costs, and what the tests promise.

The tests run on experiments that never were: arms dealt by the hash that serves, over
what the demo's users did in the second half of its time. See ./stepwell experiment
simulate, whose figures these are.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, TypeVar

from bench.report import BenchRow, at_most
from experiment_history import history_of
from project_state import DEFAULT_DATA_SET, ProjectState, project_root
from stepwell.experiments.assigner import Assigner
from stepwell.experiments.assignment import NUM_BUCKETS, Arm, Experiment, Layer
from stepwell.experiments.panel import LookOptions
from stepwell.experiments.simulation import (
    History,
    SimulationOptions,
    SimulationResult,
    simulate,
)
from stepwell.feedback.shown_slate import exposures_field
from stepwell.pipeline.overrides import PlanOverrides

T = TypeVar("T")

ALPHA, EFFECT, NUM_LOOKS = 0.01, 0.05, 500
LOSSES = (0.05, 0.1, 0.2)
_MAX_EXPOSURE_US = 3.0
_NUM_CALLS, _NUM_ROUNDS = 150, 300


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Returns the rows of the benchmark; a minute or two, quick a few seconds."""
    num_runs = 100 if quick else 1_000
    history = history_of(ProjectState(project_root(), DEFAULT_DATA_SET).dataset)
    losses = [_simulated(history, num_runs // 5, lost) for lost in LOSSES]
    rows = [
        *cost_rows(),
        *_alarm_rows(_simulated(history, num_runs)),
        *map(_loss_row, losses),
    ]
    return [asdict(row) for row in rows]


def layers_of(number: int) -> list[Layer]:
    """Returns layers of one experiment each, that everybody is in."""
    settings = (
        "ef_search",
        "num_candidates",
        "source_limits.ann",
        "source_limits.popular",
    )
    return [
        Layer(
            f"layer-{place}",
            "bench",
            (
                Experiment(
                    f"experiment-{place}",
                    0,
                    (
                        Arm("control", NUM_BUCKETS // 2),
                        Arm("treated", NUM_BUCKETS // 2, {settings[place]: 100}),
                    ),
                ),
            ),
        )
        for place in range(number)
    ]


def cost_rows() -> list[BenchRow]:
    """Assignment and the line's part, on one thread, least of many rounds."""
    users = [str(7 * number) for number in range(_NUM_CALLS)]
    nothing = _least_us(exposures_field, [()] * _NUM_CALLS)
    rows = []
    for number in (1, 2, 4):
        assigner = Assigner(layers_of(number), PlanOverrides.of)
        exposures = [assigner.assign(user).exposures for user in users]
        assigned = _least_us(assigner.assign, users)
        logged = _least_us(exposures_field, exposures)
        work = f"arms of a user in {number} experiments, and their part of the log line"
        also = {"of that the log line": logged, "without experiments": nothing}
        limit = at_most(work, assigned + logged, "us", _MAX_EXPOSURE_US)
        is_bar = number == 2
        rows.append(
            BenchRow(
                work,
                assigned + logged,
                "us",
                bar=limit.bar if is_bar else "",
                holds=limit.holds or not is_bar,
                also=also,
            )
        )
    return rows


def _least_us(call: Callable[[T], object], arguments: list[T]) -> float:
    """Microseconds a call, in the round that was disturbed least."""
    least = float("inf")
    for _ in range(_NUM_ROUNDS):
        start = time.perf_counter()
        for argument in arguments:
            call(argument)
        least = min(least, time.perf_counter() - start)
    return least / len(arguments) * 1e6


def _simulated(
    history: History, num_runs: int, lost_share: float = 0.0
) -> SimulationResult:
    options = SimulationOptions(
        num_runs=num_runs,
        num_looks=NUM_LOOKS,
        looks=LookOptions(ALPHA, EFFECT),
        lost_share=lost_share,
    )
    return simulate(history, options)


def _alarm_rows(found: SimulationResult) -> list[BenchRow]:
    num = found.num_runs
    what = (
        f"{num:,} A/A runs over {found.num_users:,} users with {found.num_occasions:,} "
        f"visits, {found.num_looks:,} looks each, alpha {found.alpha:g}"
    )
    also = {
        "a test for one look, at every look": found.found_by_peeking / num,
        "that test, at the end alone": found.found_at_end / num,
        "with CUPED, at the end alone": found.found_adjusted / num,
    }
    plain = at_most(f"{what}: false alarms", found.found_plain / num, "share", ALPHA)
    return [
        replace(plain, also=also),
        at_most("the same, adjusted by CUPED", found.found / num, "share", ALPHA),
        BenchRow("CUPED: variance kept", found.variance_kept, "ratio"),
        BenchRow(
            "arms of another size than dealt, by a test at 0.001",
            found.mismatches / num,
            "share",
        ),
    ]


def _loss_row(found: SimulationResult) -> BenchRow:
    num = found.num_runs
    also = {
        "unadjusted": found.found_plain / num,
        "a test for one look, at the end": found.found_at_end / num,
        "with CUPED, at the end": found.found_adjusted / num,
    }
    lost = f"{found.lost_share:.0%}"
    work = f"a loss of {lost}: found at any look, adjusted, {num:,} runs"
    if found.median_occasions == found.median_occasions:
        work += f", half of them within {found.median_occasions:,.0f} visits"
    return BenchRow(work, found.found / num, "share", also=also)
