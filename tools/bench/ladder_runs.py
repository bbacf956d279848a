"""The chaos runs of benchmark `ladder`: played, judged, kept.

Every rate is a ratio to C0, C1 or C2 of the same run. A run leaves one JSON file: seed,
times of faults, counts, the series by second. Before each run the server is asked for a
few seconds at half of C0 and not judged: a run begins in a day, not at a start.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.ladder_plan import LONG, Chaos, Lengths, Tick
from bench.report import BenchRow, describe_machine
from bench.retrieval_figures import say
from by_second import by_second
from capacity import Capacity, CapacityOptions, capacity_of
from generator import generate
from load_run import LoadRun
from scenarios import SCENARIOS, Work
from slo import Finding, Situation, findings
from stepwell.client.types import Tier
from utility import TierValues

BUDGET_MS = 20.0
_MAX_ATTEMPTS = 2
_WITHOUT_TROUBLE = ("steady", "priorities", "heavy-request")


@dataclass(frozen=True, slots=True)
class Rig:
    """A server with its capacity, and where runs are written.

    Attributes:
        address: host:port of callers.
        capacity: C0, C1, C2.
        values: what an answer of each tier is worth.
        folder: for the files of the runs.
        tick: told of the seconds of each run.
        config: of the server.
    """

    address: str
    capacity: Capacity
    values: TierValues
    folder: Path
    tick: Tick
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Played:
    """Runs so far, by name."""

    rows: list[BenchRow] = field(default_factory=list)
    runs: dict[str, LoadRun] = field(default_factory=dict)


def search_options(
    lengths: Lengths, tick: Tick, around: Capacity | None = None
) -> CapacityOptions:
    """Returns how this benchmark looks for a capacity, said step by step.

    Args:
        lengths: of a step.
        tick: told of the seconds of each.
        around: what was found before, for a shorter search near it.
    """

    def seen(text: str) -> None:
        say(text)
        tick(lengths.capacity_step)

    return CapacityOptions(
        budget_ms=BUDGET_MS,
        seconds_a_step=lengths.capacity_step,
        progress=seen,
        around=around,
    )


def sought_anew(
    rig: Rig, users: Sequence[str], tiers: Iterable[Tier], options: CapacityOptions
) -> Rig:
    """Returns the rig with the capacity that these tiers have now."""
    fresh = {
        tier.name.lower(): capacity_of(rig.address, users, tier, options)
        for tier in tiers
    }
    return replace(rig, capacity=replace(rig.capacity, **fresh))


def play(rig: Rig, chaos: Iterable[Chaos], lengths: Lengths, played: Played) -> None:
    """Runs one after the other and adds to what was played; a void run is repeated."""
    for one in chaos:
        work = SCENARIOS[one.scenario].build(one.setting)
        calm_setting = replace(
            one.setting, rate=0.5 * rig.capacity.full, seconds=lengths.settle
        )
        calm = SCENARIOS["steady"].build(calm_setting)

        def settled(work: Work = work, calm: Work = calm) -> LoadRun:
            _generated(rig.address, calm)
            return _generated(rig.address, work)

        run = not_void(settled)
        judge(rig, one, work, run, played, lengths.recovery)
        rig.tick(lengths.settle + one.setting.seconds)


def not_void(attempt: Callable[[], LoadRun]) -> LoadRun:
    """Returns the first run that counts, else the last one."""
    for _ in range(_MAX_ATTEMPTS):
        run = attempt()
        if not run.void:
            break
        say(f"void: {run.void}")
    return run


def judge(
    rig: Rig,
    one: Chaos,
    work: Work,
    run: LoadRun,
    played: Played,
    recovery_s: float = LONG.recovery,
) -> None:
    """Holds a run against its limits and keeps it."""
    situation = Situation(
        budget_ms=BUDGET_MS,
        capacity=rig.capacity,
        values=rig.values,
        trouble=work.trouble,
        calm=played.runs.get(one.calm),
        recovery_s=recovery_s,
    )
    found = findings(one.slo, run, situation) if one.slo else []
    keep(rig, one, run, found, played)


def keep(
    rig: Rig, one: Chaos, run: LoadRun, found: list[Finding], played: Played
) -> None:
    """Writes the run's file and adds it and its rows to what was played."""
    played.runs[one.name] = run
    played.rows += rows_of(one, run, found)
    _save(rig, one, run, found)
    short = [str(finding) for finding in found if not finding.holds]
    say(f"{one.name}: {run.void or '; '.join(short) or 'holds'}")


def rows_of(one: Chaos, run: LoadRun, found: list[Finding]) -> list[BenchRow]:
    """Returns a row for each limit; those of a void run do not hold."""
    seen = "; ".join(filter(None, (tier_text(run), one.why)))
    about = f"{one.name}, {one.setting.seconds:g} s ({seen})"
    if run.void:
        return [BenchRow(about, 0.0, "runs", bar="not void: " + run.void, holds=False)]
    rows = []
    for number, finding in enumerate(found):
        words, unit = words_and_unit(finding.what)
        rows.append(
            BenchRow(
                f"{about if not number else one.name}: {words}",
                finding.measured,
                unit,
                bar=f"{'<=' if finding.at_most else '>='} {finding.limit:g}",
                holds=finding.holds,
            )
        )
    return rows


def words_and_unit(what: str) -> tuple[str, str]:
    """Returns a limit's words and its unit, which stands behind the last comma."""
    words, comma, unit = what.rpartition(", ")
    return (words, unit) if comma else (what, "ratio")


def tier_text(run: LoadRun) -> str:
    """Returns the answers' tiers in one line, and what the other calls ended in."""
    facts = run.summary(BUDGET_MS)
    shares = [f"{tier} {share:.1%}" for tier, share in facts["tiers"].items() if share]
    failed = {name: n for name, n in facts["statuses"].items() if name != "OK"}
    shares += [f"{name} {count / len(run):.1%}" for name, count in failed.items()]
    return ", ".join(shares)


def file_name(name: str) -> str:
    """Returns the name of a run's file, without its ending."""
    words = "".join(c if c.isalnum() or c == "." else " " for c in name.lower())
    return "-".join(words.split())


def _generated(address: str, work: Work) -> LoadRun:
    return generate(address, work.schedule, work.lanes, events=work.events)


def _save(rig: Rig, one: Chaos, run: LoadRun, found: list[Finding]) -> None:
    document = {
        "name": one.name,
        "machine": describe_machine(),
        "seed": one.setting.seed,
        "rate": one.setting.rate,
        "seconds": one.setting.seconds,
        "budget_ms": BUDGET_MS,
        "capacity": asdict(rig.capacity),
        "scenario": one.scenario,
        "trouble": None if one.scenario in _WITHOUT_TROUBLE else one.setting.trouble,
        "why": one.why,
        "faults": [{"at_s": at, "what": what} for at, what in one.faults],
        "summary": run.summary(BUDGET_MS),
        "findings": [{**asdict(f), "holds": f.holds} for f in found],
        "by_second": by_second(run, BUDGET_MS).as_json(),
    }
    path = rig.folder / f"{file_name(one.name)}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
