"""Benchmark `releases`: publish, swap, roll back, start: what callers notice of it.

On the demo's release and on one that is ten times larger, two ranker processes, 500
candidates at FULL, a budget of 20 ms. Rates are ratios to C0, what FULL carries within
the budget on this machine now; the generator shares the machine.

Parts: starts (releases_start); new-items by deltas (releases_visible); bad canaries
(releases_canary); 50 swaps of whole releases (releases_swaps), and rollbacks; 50
delta-swaps; 5 large-swaps, of the larger release. Ctrl-C ends it with what was
measured; `--only` measures a part again. False alarms of the guardrails of a canary are
benchmark `guardrails`.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.releases_canary import canary_rows
from bench.releases_plot import write_plot
from bench.releases_start import start_rows
from bench.releases_swaps import QUICK, Amounts, Swapped, rows_of, swaps
from bench.releases_visible import visible_rows
from bench.report import BenchRow
from bench.retrieval_figures import say
from bench.serving_processes import ServedRelease
from bench.serving_release import bench_release
from bench.serving_spec import QUICK as SMALL_SPEC
from bench.serving_spec import ReleaseSpec
from project_state import DEFAULT_DATA_SET, ProjectState, project_root
from stepwell.base.errors import InvalidArgumentError

Row = dict[str, Any]
Part = Callable[[], list[BenchRow]]
WHOLE, DELTA = "the demo's release", "deltas of the demo's release"
NUM_STARTS, _QUICK_STARTS = 5, 1
NUM_DELTAS, _QUICK_DELTAS = 4, 1


def measure(
    quick: bool = False,
    plots: Path | None = None,
    state: ProjectState | None = None,
    only: Sequence[str] = (),
) -> list[Row]:
    """Returns the rows; about an hour, quick a few minutes.

    Args:
        quick: too short to judge by: shows that it works.
        plots: folder for the figure.
        state: whose newest release is served; default: the demo's own data set.
            Nothing of it is changed.
        only: parts that are measured; all of them when empty.
    Raises:
        NotFoundError: there is no release; names the command that makes one.
        InvalidArgumentError: no such part; names those that are.
    """
    state = state or ProjectState(project_root(), DEFAULT_DATA_SET)
    amounts = QUICK if quick else Amounts()
    rows: list[BenchRow] = []
    seen: list[Swapped] = []
    with tempfile.TemporaryDirectory() as scratch:
        parts = parts_of(state, amounts, Path(scratch), seen, quick=quick)
        for name in _chosen(list(parts), only):
            say(f"releases: {name}")
            try:
                rows += [replace(row, part=name) for row in parts[name]()]
            except KeyboardInterrupt:
                say("ended early; what was measured before is reported")
                break
    if plots is not None:
        write_plot(plots, {one.what: one.load for one in seen if one.what == WHOLE})
    return [asdict(row) for row in rows]


def _chosen(parts: Sequence[str], only: Sequence[str]) -> list[str]:
    """Parts in the order in which they are measured."""
    for name in only:
        if name not in parts:
            known = ", ".join(parts)
            raise InvalidArgumentError(f"there is no part {name!r}, but {known}")
    return [name for name in parts if not only or name in only]


def parts_of(
    state: ProjectState,
    amounts: Amounts,
    scratch: Path,
    seen: list[Swapped],
    *,
    quick: bool,
) -> dict[str, Part]:
    """Returns the parts by name, in the order in which they are measured.

    Args:
        state: the demo's project.
        amounts: how much is done.
        scratch: for everything that is made; a folder for each part.
        seen: takes what the swaps showed.
        quick: starts once, and the larger release is a small one.
    """
    served = ServedRelease.newest(state)
    num_starts = _QUICK_STARTS if quick else NUM_STARTS

    def swapped(
        of: ServedRelease, what: str, number: int, is_delta: bool = False
    ) -> list[BenchRow]:
        folder = scratch / what.replace(" ", "-")
        folder.mkdir()
        found, rollbacks = swaps(
            of, folder, amounts, what, num_swaps=number, is_delta=is_delta
        )
        seen.append(found)
        return [*rows_of(found), *rollbacks]

    def large() -> list[BenchRow]:
        # The large one takes a minute to make, and is kept for the next time.
        root, spec = (scratch, SMALL_SPEC) if quick else (state.root, ReleaseSpec())
        made = bench_release(root, spec)
        of = ServedRelease.generated(made)
        mib = sum(file.stat().st_size for file in of.release.iterdir()) / 2**20
        return swapped(of, f"a release of {mib:.0f} MiB", amounts.num_large_swaps)

    def canaries() -> list[BenchRow]:
        folder = scratch / "canaries"
        folder.mkdir()
        return canary_rows(served, folder, amounts)

    def visible() -> list[BenchRow]:
        folder = scratch / "visible"
        folder.mkdir()
        return visible_rows(served, folder, _QUICK_DELTAS if quick else NUM_DELTAS)

    return {
        "starts": lambda: start_rows(served, num_starts),
        "new-items": visible,
        "canaries": canaries,
        "swaps": lambda: swapped(served, WHOLE, amounts.num_swaps),
        "delta-swaps": lambda: swapped(served, DELTA, amounts.num_delta_swaps, True),
        "large-swaps": large,
    }
