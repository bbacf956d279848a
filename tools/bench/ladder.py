"""Benchmark `ladder`: what the ladder promises under overload and loss, measured.

On the demo's release, two ranker processes, a budget of 20 ms and 500 candidates at
FULL. C0, C1 and C2 are what FULL, REDUCED and POPULAR carry within the budget on this
machine now; every rate is a ratio to them. The generator shares the machine.
"""

import json
import shutil
import tempfile
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.ladder_costs import cost_rows, profile_rows
from bench.ladder_dependencies import dependency_rows
from bench.ladder_limits import limit_rows
from bench.ladder_plan import (
    LONG,
    QUICK,
    SHORT,
    Lengths,
    Tick,
    overload_groups,
    progress_of,
)
from bench.ladder_plot import write_plots
from bench.ladder_rivals import rival_rows
from bench.ladder_runs import (
    BUDGET_MS,
    Played,
    Rig,
    play,
    search_options,
    sought_anew,
)
from bench.machine_stalls import stall_rows
from bench.report import BenchRow, at_least, at_most
from bench.serving_processes import RankerUnderTest, ServedRelease
from capacity import Capacity, calibrate
from generator import generate
from lanes import recommend_lane
from load_run import quantile
from open_loop import poisson
from project_state import DEFAULT_DATA_SET, ProjectState, project_root
from stepwell.client.types import Tier
from utility import TierValues

FOLDER = "bench"
MIN_C2_OVER_C0 = 10.0
MAX_POPULAR_MS = 1.0
_POPULAR_LOAD = 0.3

CONFIG: dict[str, Any] = {
    "latency_budget_ms": int(BUDGET_MS),
    "scorer": {"precision": "bfloat16"},
    "tiers": {
        "full": {
            "num_candidates": 500,
            "ef_search": 400,
        },
        "reduced": {"num_candidates": 120},
    },
}

Row = dict[str, Any]


def measure(
    quick: bool = False,
    long: bool = False,
    plots: Path | None = None,
    state: ProjectState | None = None,
) -> list[Row]:
    """Returns the rows; about 8 minutes, long 50, quick 3. Says its plan first.

    Args:
        quick: too short to judge by: shows that it works.
        long: the lengths of the table of faults.
        plots: folder for the figures.
        state: whose newest release is served; default: the demo's own data set.
    Raises:
        NotFoundError: there is no release; names the command that makes one.
    """
    state = state or ProjectState(project_root(), DEFAULT_DATA_SET)
    served = ServedRelease.newest(state)
    lengths = QUICK if quick else LONG if long else SHORT
    folder = state.folder.parent / FOLDER / ("long" if long else "short")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch, progress_of(lengths) as tick:
        rows = _rows(served, folder, lengths, Path(scratch), tick)
    if plots is not None:
        write_plots(folder, plots)
    return [asdict(row) for row in rows]


def _rows(
    served: ServedRelease, folder: Path, lengths: Lengths, scratch: Path, tick: Tick
) -> list[BenchRow]:
    users = served.user_ids()
    for name in ("rivals", "dependencies"):
        (scratch / name).mkdir()
    stalls = stall_rows()
    ranker = RankerUnderTest(served, scratch / "ranker", CONFIG, ("--workers=2",))
    with closing(ranker):
        profile, cpu_ms = profile_rows(ranker, users, lengths.num_profiled)
        capacity, rows = capacity_rows(ranker, users, lengths, tick)
        rig = Rig(ranker.address, capacity, _values(served), folder, tick, CONFIG)
        rows += [
            *stalls,
            *profile,
            *cost_rows(cpu_ms),
            _popular_row(rig, users, lengths),
        ]
        rows += limit_rows(ranker.address, ranker.pid)
        rig, overload = overload_rows(rig, users, lengths, ranker.pid)
        rows += overload
        rows += rival_rows(rig, ranker, served, lengths, scratch / "rivals")
    return rows + dependency_rows(rig, served, lengths, scratch / "dependencies")


def overload_rows(
    rig: Rig, users: list[str], lengths: Lengths, pid: int
) -> tuple[Rig, list[BenchRow]]:
    """Plays O1 to O9. The machine changes within minutes: C0 is sought anew for each.

    Returns:
        The rig with the last capacity, and the rows.
    """
    played = Played()
    c0 = [rig.capacity.full]
    for group in overload_groups(users, lengths, pid):
        options = search_options(lengths, rig.tick, rig.capacity)
        rig = sought_anew(rig, users, group.needs, options)
        c0.append(rig.capacity.full)
        play(rig, group.runs(rig.capacity), lengths, played)
    drift = f"C0, sought {len(c0)} times, {min(c0):.0f} to {max(c0):.0f}/s: the mean"
    return rig, [BenchRow(drift, sum(c0) / len(c0), "calls/s"), *played.rows]


def capacity_rows(
    ranker: RankerUnderTest, users: list[str], lengths: Lengths, tick: Tick
) -> tuple[Capacity, list[BenchRow]]:
    """Returns C0, C1, C2 and their rows."""
    capacity = calibrate(ranker.address, users, search_options(lengths, tick))
    rows = [
        BenchRow(
            f"C{number}: {tier.name}, p99 <= {BUDGET_MS:g} ms",
            capacity.of(tier),
            "calls/s",
        )
        for number, tier in enumerate((Tier.FULL, Tier.REDUCED, Tier.POPULAR))
    ]
    ratio = capacity.popular / capacity.full
    return capacity, [*rows, at_least("C2 / C0", ratio, "ratio", MIN_C2_OVER_C0)]


def _popular_row(rig: Rig, users: list[str], lengths: Lengths) -> BenchRow:
    lane = recommend_lane("popular", users, tier=Tier.POPULAR)
    rate = _POPULAR_LOAD * rig.capacity.popular
    run = generate(rig.address, poisson(rate, lengths.steady, 1), [lane])
    rig.tick(lengths.steady)
    # What waits for its turn is the load's; the work is the tier's.
    p99_ms = quantile(run.work_us()[run.ok()] / 1e3, 0.99)
    work = f"POPULAR at {_POPULAR_LOAD:g} x C2, time in the server without the queue"
    return at_most(work, p99_ms, "ms p99", MAX_POPULAR_MS)


def _values(served: ServedRelease) -> TierValues:
    card = json.loads((served.release / "model_card.json").read_text())
    return TierValues.of_model_card(card["quality"])
