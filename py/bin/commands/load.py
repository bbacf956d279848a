"""`./stepwell load`: puts load on a server and says what came back."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from capacity import Capacity
from commands.load_closed_loop import run_closed_loop
from commands.load_open_loop import Asked, run_open_loop
from commands.load_users import LoadUsers
from commands.recommend import START_HINT
from load_run import LoadRun, quantile
from project_state import (
    DATA_SETS,
    STATE_FOLDER,
    ProjectState,
    project_root,
    running_server,
)
from ranker_process import RankerProcess
from report import Report
from scenarios import SCENARIOS
from slo import SLOS
from stepwell.base.errors import NotFoundError
from stepwell.client.types import Priority
from stepwell.releases.source import DirectorySource

_EXPLAINED = """\
Puts load on a server: prints rate, latency, tiers, reasons and errors, and writes one
HTML page with plots.

With --rate, calls leave on a fixed random schedule whether or not answers come back,
and latency counts from the time at which a call was due: the way to find a limit. A
rate such as 3x is three times what the server answers in the budget at FULL; that is
measured first, for each tier, in some two minutes. Without --rate locust plays --users
people who browse, have items ranked, click and come back, each waiting for one answer
before the next question.

scenarios:
{scenarios}

Without --address it takes the server that runs here, and else starts one from the last
demo's release."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `load`."""
    parser.description = _EXPLAINED.format(
        scenarios="\n".join(f"  {n:<16} {s.summary}" for n, s in SCENARIOS.items())
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--address", metavar="HOST:PORT", help="the server")
    parser.add_argument(
        "--data", choices=DATA_SETS, help="whose release and users (default: the last)"
    )
    parser.add_argument(
        "--ranker-flag",
        action="append",
        default=[],
        metavar="FLAG",
        help="of a server that it starts, such as --ranker-flag=--workers=2; repeat it",
    )
    parser.add_argument(
        "--seconds", type=float, default=30, help="length of the run (%(default)s)"
    )
    parser.add_argument(
        "--rate",
        type=_rate,
        metavar="R",
        help="open loop: calls a second, or 3x for three times FULL's capacity",
    )
    parser.add_argument(
        "--scenario",
        choices=SCENARIOS,
        default="steady",
        help="shape of an open loop (%(default)s)",
    )
    parser.add_argument("--trace", type=Path, metavar="FILE", help="arrivals, by line")
    parser.add_argument(
        "--priorities",
        type=_priorities,
        default={Priority.INTERACTIVE: 1.0},
        metavar="MIX",
        help="shares by priority, as interactive=0.8,batch=0.2",
    )
    _add_closed_loop_arguments(parser)
    _add_judgement_arguments(parser)


def _add_closed_loop_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--users", type=int, default=8, help="people at once, >= 1 (%(default)s)"
    )
    parser.add_argument(
        "--think-ms", type=int, default=20, help="pause of each (%(default)s)"
    )


def _add_judgement_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--deadline-ms", type=int, default=200, help="of every call (%(default)s)"
    )
    parser.add_argument(
        "--budget-ms", type=float, default=20, help="latency in time (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of arrivals (%(default)s)")
    parser.add_argument(
        "--fault-begin", metavar="CMD", help="run when the fault of a scenario begins"
    )
    parser.add_argument("--fault-end", metavar="CMD", help="run when it ends")
    parser.add_argument("--slo", choices=SLOS, help="exit 1 when these limits break")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="where the page goes (default: .stepwell/load.html)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report")
    parser.add_argument("--calls", type=Path, metavar="FILE", help="write every call")


def run(args: argparse.Namespace) -> int:
    """Runs the load; returns 1 when a limit of --slo breaks or a run is void.

    Raises:
        StepwellError: there is no server and no release to start one from.
    """
    root = project_root()
    console = Console(highlight=False)
    with _target(args, root) as (address, data):
        users = LoadUsers.of(ProjectState(root, data) if data else None)
        with console.status("load", refresh_per_second=2) as status:
            if args.rate is None and args.trace is None:
                report = run_closed_loop(args, address, users.user_ids)
            else:
                asked = Asked(args, address, users, status.update)
                report = run_open_loop(asked)
    print_report(report, address, console)
    _write(report, args, root)
    for found in report.findings:
        if not found.holds:
            print(f"load: {found}", file=sys.stderr)
    return int(not report.good)


def _rate(text: str) -> tuple[float, bool]:
    """Returns a number and whether it is a multiple of capacity."""
    number = float(text.removesuffix("x"))
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text} is no rate, must be > 0")
    return number, text.endswith("x")


def _priorities(text: str) -> dict[Priority, float]:
    shares = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        known = [p.name.lower() for p in Priority if p]
        if name not in known or not share:
            raise argparse.ArgumentTypeError(f"{part!r} is not one of {known} = share")
        shares[Priority[name.upper()]] = float(share)
    if abs(sum(shares.values()) - 1) > 1e-6 or min(shares.values()) <= 0:
        raise argparse.ArgumentTypeError(f"{text}: shares must be > 0 and sum to 1")
    return shares


@contextmanager
def _target(args: argparse.Namespace, root: Path) -> Iterator[tuple[str, str | None]]:
    """Yields an address and the data set it serves, None when that is not known."""
    server = running_server(root)
    if args.address:
        yield args.address, args.data
    elif server is not None and args.data in (None, server.data):
        yield server.address, server.data
    else:
        data = args.data or _last_data_set(root)
        if not DirectorySource(ProjectState(root, data).registry).versions():
            raise NotFoundError(f"there is no release of {data}; {START_HINT}")
        budget = f"--latency_budget_ms={max(round(args.budget_ms), 1)}"
        flags = [budget, *args.ranker_flag]
        with RankerProcess.start(ProjectState(root, data), flags=flags) as ranker:
            yield ranker.address, data


def _last_data_set(root: Path) -> str:
    """Returns the data set that was published last."""
    published = {
        versions[-1].directory.stat().st_mtime: data
        for data in DATA_SETS
        if (versions := DirectorySource(ProjectState(root, data).registry).versions())
    }
    if not published:
        raise NotFoundError(
            f"no server runs here and there is no release; {START_HINT}"
        )
    return published[max(published)]


def _write(report: Report, args: argparse.Namespace, root: Path) -> None:
    page: Path = args.html or root / STATE_FOLDER / "load.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(report.as_html())
    # On standard error: what a machine reads stays free of it.
    print(f"load: page written to {page}", file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    if args.calls:
        report.run.save(args.calls)


def print_report(report: Report, address: str, console: Console) -> None:
    """Prints the figures as tables."""
    run = report.run
    table = Table(title=f"{report.title} on {address}", title_justify="left")
    table.add_column("lane")
    for name in ("calls", "rate/s", "in budget", "errors", "p50", "p99", "p99.9 ms"):
        table.add_column(name, justify="right")
    for name, row in report.rows().items():
        table.add_row(
            name,
            str(row["num_calls"]),
            f"{row['offered']:.1f}",
            f"{row['in_budget']:.2%}",
            f"{row['error_share']:.2%}",
            *(f"{row[key]:.2f}" for key in ("p50_ms", "p99_ms", "p999_ms")),
            style="bold" if name == "all" else None,
        )
    console.print(table)
    for title, text in _lines(report, run):
        console.print(f"{title:9} {text}", style="red" if title == "void" else None)
    for found in report.findings:
        console.print(f"{'holds' if found.holds else 'BREAKS':9} {found}")


def _lines(report: Report, run: LoadRun) -> Iterator[tuple[str, str]]:
    capacity: Capacity | None = report.situation.capacity
    if capacity is not None:
        yield (
            "capacity",
            f"FULL {capacity.full:.0f}, REDUCED {capacity.reduced:.0f}, "
            f"POPULAR {capacity.popular:.0f} calls/s",
        )
    summary = run.summary(report.situation.budget_ms)
    tiers = {name: share for name, share in summary["tiers"].items() if share}
    yield "tiers", ", ".join(f"{n} {s:.1%}" for n, s in tiers.items()) or "-"
    reasons = sorted(run.reason_counts().items(), key=lambda pair: -pair[1])
    yield "reasons", ", ".join(f"{n} {c}" for n, c in reasons) or "-"
    yield "statuses", ", ".join(f"{n} {c}" for n, c in run.status_counts().items())
    yield from (report.facts or {}).items()
    yield (
        "generator",
        f"{run.generator_cpu_share:.0%} of a core, p99 of lateness "
        f"{quantile(run.late_ms(), 0.99):.2f} ms",
    )
    if run.void:
        yield "void", run.void
