"""The chaos runs of benchmark `ladder`: what is asked, and the limits that judge it.

Every rate is a ratio to C0, C1 or C2 of the same run. A run leaves one JSON file: seed,
times of faults, counts, the series by second. Before each run the server is asked for a
few seconds at half of C0 and not judged: a run begins in a day, not at a start.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.report import BenchRow, describe_machine
from bench.retrieval_figures import say
from by_second import by_second
from capacity import Capacity
from generator import generate
from load_run import LoadRun
from scenarios import SCENARIOS, Setting, Work
from slo import Finding, Situation, findings
from utility import TierValues

BUDGET_MS = 20.0
_MAX_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Lengths:
    """Seconds of the runs.

    Attributes:
        capacity_step: one rate of the search for C0, C1, C2.
        settle: half of C0 before each run.
        steady: O1, O2, O3, O8.
        spike: O4, a third of it the spike.
        drift: O5.
        burst: ten times C0, a third of it the burst.
        pair: O9, each of its two runs.
        turn, turns: of the rivals; a turn is also the length of a run with a kill.
        num_profiled: requests of the profile; no seconds.
    """

    capacity_step: float = 0.7
    settle: float = 2.0
    steady: float = 5.0
    spike: float = 21.0
    drift: float = 12.0
    burst: float = 21.0
    pair: float = 8.0
    turn: float = 5.0
    turns: int = 1
    num_profiled: int = 500


SHORT = Lengths()
LONG = Lengths(2.0, 5.0, 60.0, 60.0, 300.0, 180.0, 30.0, 20.0, 3, 2_000)
QUICK = Lengths(0.5, 0.5, 1.0, 6.0, 4.0, 6.0, 1.0, 1.0, 1, 50)


@dataclass(frozen=True, slots=True)
class Chaos:
    """One run.

    Attributes:
        name: of its rows and, in lower case with dashes, of its file.
        slo: the limits, by their name in loadtest/slo.py.
        setting: rate, seconds, seed.
        scenario: shape of the load.
        faults: (second, what) of what is done meanwhile, for the file.
        calm: name of an earlier run that it is compared with.
    """

    name: str
    slo: str
    setting: Setting
    scenario: str = "steady"
    faults: tuple[tuple[float, str], ...] = ()
    calm: str = ""


@dataclass(frozen=True, slots=True)
class Rig:
    """A server with its capacity, and where runs are written.

    Attributes:
        address: host:port of callers.
        capacity: C0, C1, C2.
        values: what an answer of each tier is worth.
        folder: for the files of the runs.
        config: of the server.
    """

    address: str
    capacity: Capacity
    values: TierValues
    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Played:
    """Runs so far, by name."""

    rows: list[BenchRow] = field(default_factory=list)
    runs: dict[str, LoadRun] = field(default_factory=dict)


def overload_runs(rig: Rig, users: list[str], lengths: Lengths) -> list[Chaos]:
    """Returns O1 to O5, O8, O9 and the burst, in the order in which they are run."""
    c0, c2 = rig.capacity.full, rig.capacity.popular
    seeds = iter(range(1_000, 2_000, 10))

    def setting(rate: float, seconds: float, **more: Any) -> Setting:
        return Setting(rate, seconds, users, seed=next(seeds), **more)

    def at(name: str, slo: str, ratio: float, seconds: float) -> Chaos:
        title = f"{name}, {ratio:g} x C0"
        return Chaos(title, slo, setting(ratio * c0, seconds))

    steady, calm = lengths.steady, 0.5 * c0
    return [
        at("O1", "half", 0.5, steady),
        at("O1", "nearly-full", 0.9, steady),
        *(at("O2", "overload", ratio, steady) for ratio in (1.5, 2.0, 3.0)),
        *(at("O3", "flood", ratio, steady) for ratio in (5.0, 10.0)),
        Chaos("O3, 2 x C2", "flood", setting(2 * c2, steady)),
        Chaos(
            "O4, 0.5 then 3 then 0.5 x C0",
            "burst",
            setting(3 * c0, lengths.spike, calm_rate=calm),
            "spike",
        ),
        *(at("O5", "steady", ratio, lengths.drift) for ratio in (0.95, 1.0, 1.05)),
        Chaos("O8, 3 x C2", "priorities", setting(3 * c2, steady), "priorities"),
        at("O9, without dear requests", "", 0.5, lengths.pair),
        Chaos(
            "O9, 1 % dear, 0.5 x C0",
            "heavy",
            setting(calm, lengths.pair),
            "heavy-request",
            calm="O9, without dear requests, 0.5 x C0",
        ),
        Chaos(
            f"burst of 10 x C0 for {lengths.burst / 3:g} s",
            "aftermath",
            setting(10 * c0, lengths.burst, calm_rate=calm),
            "spike",
        ),
    ]


def play(
    rig: Rig, chaos: Iterable[Chaos], settle_seconds: float, played: Played
) -> None:
    """Runs one after the other and adds to what was played; a void run is repeated."""
    for one in chaos:
        work = SCENARIOS[one.scenario].build(one.setting)
        settle = replace(
            one.setting, rate=0.5 * rig.capacity.full, seconds=settle_seconds
        )
        calm = SCENARIOS["steady"].build(settle)

        def settled(work: Work = work, calm: Work = calm) -> LoadRun:
            _generated(rig.address, calm)
            return _generated(rig.address, work)

        run = not_void(settled)
        judge(rig, one, work, run, played)


def not_void(attempt: Callable[[], LoadRun]) -> LoadRun:
    """Returns the first run that counts, else the last one."""
    for _ in range(_MAX_ATTEMPTS):
        run = attempt()
        if not run.void:
            break
        say(f"void: {run.void}")
    return run


def judge(rig: Rig, one: Chaos, work: Work, run: LoadRun, played: Played) -> None:
    """Holds a run against its limits and keeps it."""
    situation = Situation(
        budget_ms=BUDGET_MS,
        capacity=rig.capacity,
        values=rig.values,
        trouble=work.trouble,
        calm=played.runs.get(one.calm),
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
    about = f"{one.name}, {one.setting.seconds:g} s ({tier_text(run)})"
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
    """Returns the answers' tiers in one line, and the share of refusals."""
    facts = run.summary(BUDGET_MS)
    shares = [f"{tier} {share:.1%}" for tier, share in facts["tiers"].items() if share]
    if facts["error_share"]:
        shares.append(f"no answer {facts['error_share']:.1%}")
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
        "trouble": one.setting.trouble if one.scenario == "spike" else None,
        "faults": [{"at_s": at, "what": what} for at, what in one.faults],
        "summary": run.summary(BUDGET_MS),
        "findings": [{**asdict(f), "holds": f.holds} for f in found],
        "by_second": by_second(run, BUDGET_MS).as_json(),
    }
    path = rig.folder / f"{file_name(one.name)}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
