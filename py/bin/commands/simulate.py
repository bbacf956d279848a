"""`./stepwell simulate`: the ladder under made-up load, beside its rivals."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from stepwell.simulation.families import FAMILIES
from stepwell.simulation.plain import at_load, flood, mended, overload
from stepwell.simulation.play import play
from stepwell.simulation.plot import panels
from stepwell.simulation.rivals import RIVALS
from stepwell.simulation.scenario import Scenario
from stepwell.simulation.sweep import SweepLine, num_lines, sweep
from stepwell.simulation.verdict import (
    Verdict,
    by_kind,
    missed_bars,
    summary,
    verdict_of,
)

_EXPLAINED = """\
Plays seeded runs in simulated time: steps, ramps, waves, bursts, tiers that get slower,
a slow and a dead store, batches, costs as of a GPU, several processes, clients that
retry. The ladder is the module that serves; its rivals get the same requests.

  ./stepwell simulate                              the ladder and all rivals
  ./stepwell simulate --steering ladder --seeds 1000 --check
  ./stepwell simulate --kind burst --plot plots/
  ./stepwell simulate --sweep --json sweep.json    what each constant is worth

"in time" is the share answered within the latency budget, "any" that answered at all;
"of best" is the utility of the answers in time as a share of the best mix of tiers that
one who knows the run could have served. --check exits with 1 when the ladder has less
than 99.5 % in budget or 90 % of the best mix, over all runs or those of one kind that
has eight of them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `simulate`."""
    parser.description = _EXPLAINED
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--seeds", type=_positive, default=48, help="runs (%(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="the first of them (%(default)s)"
    )
    parser.add_argument(
        "--kind", choices=[*FAMILIES], help="of the runs; default: all in turn"
    )
    parser.add_argument(
        "--steering",
        choices=[*RIVALS],
        action="append",
        help="who decides; give it again for more; default: the ladder and all rivals",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FOLDER", help="write plots over time, SVG"
    )
    parser.add_argument(
        "--sweep", action="store_true", help="vary the ladder's constants"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 below the bars")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the summary as a table"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")


def run(args: argparse.Namespace) -> int:
    """Plays the runs; returns 1 when --check finds the ladder below its bars."""
    console, stderr = Console(highlight=False), Console(stderr=True)
    if args.sweep:
        lines = _sweep(args, stderr)
        table = sweep_table(lines)
        console.print(table)
        _write_markdown(args.markdown, [table])
        _write_json(args.json, {"sweep": [asdict(line) for line in lines]})
        return 0
    played = {
        name: _play_all(args, name, stderr) for name in args.steering or [*RIVALS]
    }
    tables = [verdict_table(name, by_kind(runs)) for name, runs in played.items()]
    console.print(*tables)
    together = {name: summary(runs, name) for name, runs in played.items()}
    table = verdict_table("all runs", [*together.values()])
    if len(played) > 1:
        console.print(table)
    _write_markdown(args.markdown, [table])
    if args.plot:
        _plot(args, [*played], stderr)
    figures = {n: [v.as_json() for v in by_kind(vs)] for n, vs in played.items()}
    _write_json(args.json, {"seed": args.seed, "seeds": args.seeds, **figures})
    missed = missed_bars(played["ladder"]) if "ladder" in played else []
    if args.check:
        for bar in missed:
            print(f"simulate: {bar}", file=sys.stderr)
    return int(bool(args.check and missed))


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{number} is not in [1, 1000000]")
    return number


def _scenarios(args: argparse.Namespace) -> Iterator[Scenario]:
    kinds = [args.kind] if args.kind else [*FAMILIES]
    for number in range(args.seeds):
        seed = args.seed + number
        yield FAMILIES[kinds[number % len(kinds)]](seed)


def _play_all(args: argparse.Namespace, name: str, console: Console) -> list[Verdict]:
    verdicts = []
    with _bar(console) as progress:
        task = progress.add_task(name, total=args.seeds)
        for scenario in _scenarios(args):
            verdicts.append(verdict_of(play(scenario, RIVALS[name])))
            progress.advance(task)
    return verdicts


def _sweep(args: argparse.Namespace, console: Console) -> list[SweepLine]:
    lines = []
    with _bar(console) as progress:
        task = progress.add_task("sweep", total=num_lines())
        for line in sweep(args.seeds, args.seed):
            lines.append(line)
            progress.advance(task)
    return lines


def _plot(args: argparse.Namespace, names: Sequence[str], console: Console) -> None:
    scenarios = [at_load(0.9), overload(3.0), mended(), flood()]
    if args.kind:
        scenarios = [next(_scenarios(args))]
    args.plot.mkdir(parents=True, exist_ok=True)
    for scenario in scenarios:
        runs = {name: play(scenario, RIVALS[name]) for name in names}
        title = f"{scenario.name}, seed {scenario.seed}"
        path = args.plot / f"simulate_{_file_stem(scenario.name)}.svg"
        path.write_text(panels(title, runs))
        console.print(f"simulate: {path} written")


def _file_stem(name: str) -> str:
    kept = "".join(c if c.isalnum() else " " for c in name.replace(".", ""))
    return "_".join(kept.split()).lower()


def verdict_table(name: str, lines: Sequence[Verdict]) -> Table:
    """Returns one line a kind of run: shares in time, of any answer, of each tier."""
    columns = ("calls", "in time", "any", "of best", "FULL", "RED.", "POP.")
    table = _table(name, "runs", (*columns, "p99 ms"))
    for line in lines:
        shares = (line.full, line.reduced, line.popular)
        table.add_row(
            line.kind,
            f"{line.num_requests}",
            f"{line.in_budget:.2%}",
            f"{line.answered:.2%}",
            f"{line.of_best:.1%}",
            *(f"{share:.1%}" for share in shares),
            f"{line.p99_ms:.0f}",
            style="bold" if line.kind == "all" else None,
        )
    return table


def sweep_table(lines: Sequence[SweepLine]) -> Table:
    """Returns one line a value of a constant."""
    columns = ("value", "in budget", "of best", "worst", "FULL 0.5", "FULL 0.9")
    table = _table("sweep", "constant", (*columns, "back s", "after", "2 x C2"))
    for line in lines:
        table.add_row(
            line.constant,
            f"{line.value:g}",
            f"{line.mixed.in_budget:.3%}",
            f"{line.mixed.of_best:.2%}",
            f"{line.worst_of_best:.1%}",
            f"{line.full_at_half:.1%}",
            f"{line.full_at_most:.1%}",
            f"{line.back_s:.0f}",
            f"{line.full_after_deluge:.1%}",
            f"{line.flood_in_budget:.1%}",
        )
    return table


def _table(title: str, first: str, others: Sequence[str]) -> Table:
    """An empty table that fits 80 columns."""
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1))
    table.add_column(first, no_wrap=True)
    for column in others:
        table.add_column(column, justify="right", no_wrap=True)
    return table


@contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        yield progress


def _write_markdown(path: Path | None, tables: Sequence[Table]) -> None:
    """Writes tables as documents show them."""
    if not path:
        return
    lines: list[str] = []
    for table in tables:
        columns = [[str(cell) for cell in column.cells] for column in table.columns]
        lines += ["| " + " | ".join(str(c.header) for c in table.columns) + " |"]
        lines += ["|---" * len(columns) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in zip(*columns, strict=True)]
    path.write_text("\n".join(lines) + "\n")


def _write_json(path: Path | None, figures: dict[str, Any]) -> None:
    if path:
        path.write_text(json.dumps(figures, indent=1) + "\n")
