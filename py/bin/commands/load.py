"""`./stepwell load`: puts load on a server and prints what came back."""

import argparse
import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from commands.recommend import START_HINT
from open_loop import OpenLoopOptions, run_open_loop
from project_state import (
    DATA_SETS,
    STATE_FOLDER,
    ProjectState,
    project_root,
    running_server,
)
from ranker_process import RankerProcess
from slo import SLOS, breaches
from stepwell.base.errors import FailedPreconditionError, NotFoundError
from stepwell.releases.source import DirectorySource
from tally import LoadReport

LOCUSTFILE = Path(__file__).parents[3] / "loadtest" / "locustfile.py"
_NUM_USER_IDS = 2_000
_STOP_SECONDS = 60
_LOG_TAIL_LINES = 5

_EXPLAINED = """\
Puts load on a server and prints rate, latency, tiers, reasons and errors.

By default locust plays --users people who browse, have items ranked and click, each
waiting for one answer before the next question. With --rate calls leave on a fixed
random schedule whether or not answers come back, and latency counts from the time at
which a call was due: the way to find a limit.

Without --address it takes the server that runs here, and else starts one from the last
demo's release."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `load`."""
    parser.description = _EXPLAINED
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--address", metavar="HOST:PORT", help="the server")
    parser.add_argument(
        "--data", choices=DATA_SETS, help="whose release and users (default: the last)"
    )
    parser.add_argument(
        "--seconds", type=int, default=30, help="length of the run (%(default)s)"
    )
    parser.add_argument(
        "--users", type=int, default=8, help="people at once, >= 1 (%(default)s)"
    )
    parser.add_argument(
        "--think-ms", type=int, default=20, help="pause of each (%(default)s)"
    )
    parser.add_argument(
        "--rate", type=float, metavar="R", help="open loop: calls a second"
    )
    parser.add_argument(
        "--deadline-ms", type=int, default=200, help="of every call (%(default)s)"
    )
    parser.add_argument("--slo", choices=SLOS, help="exit 1 when these limits break")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="where locust's page goes (default: .stepwell/load.html)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report")


def run(args: argparse.Namespace) -> int:
    """Runs the load; returns 1 when a limit of --slo breaks or a run is void.

    Raises:
        StepwellError: there is no server and no release to start one from.
    """
    root = project_root()
    with _target(args, root) as (address, data):
        user_ids = _user_ids(ProjectState(root, data) if data else None)
        if args.rate is not None:
            options = OpenLoopOptions(args.rate, args.seconds, args.deadline_ms)
            report = asyncio.run(run_open_loop(address, user_ids, options))
        else:
            report = _run_locust(args, address, user_ids)
    print_report(report, address, Console(highlight=False))
    if args.json:
        args.json.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    broken = breaches(report, SLOS[args.slo]) if args.slo else []
    for breach in broken:
        print(f"load: {breach}", file=sys.stderr)
    return int(bool(broken or report.void))


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
        with RankerProcess.start(ProjectState(root, data)) as ranker:
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


def _user_ids(state: ProjectState | None) -> list[str]:
    """Returns users of the data set, or made-up ones where there is none."""
    if state is None or not (state.dataset / "events.parquet").exists():
        return [f"load-{number}" for number in range(_NUM_USER_IDS)]
    events = pl.scan_parquet(state.dataset / "events.parquet")
    ids = events.select(pl.col("user_id").cast(pl.String).unique().sort()).collect()
    return ids["user_id"].head(_NUM_USER_IDS).to_list()


def _run_locust(
    args: argparse.Namespace, address: str, user_ids: list[str]
) -> LoadReport:
    if importlib.util.find_spec("locust") is None:
        raise FailedPreconditionError(
            "locust is not installed; run: .venv/bin/pip install -r "
            "requirements-dev.lock   (or use --rate, which does without)"
        )
    page = args.html or project_root() / STATE_FOLDER / "load.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        ids, report = Path(folder, "users.txt"), Path(folder, "report.json")
        ids.write_text("\n".join(user_ids))
        command = [
            *(sys.executable, "-m", "locust", "--headless", "-f", str(LOCUSTFILE)),
            *("--host", address, "--users", str(args.users)),
            *("--spawn-rate", str(args.users), "--run-time", f"{args.seconds}s"),
            *("--think-ms", str(args.think_ms), "--report", str(report)),
            *("--deadline-ms", str(args.deadline_ms), "--user-ids", str(ids)),
            *("--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0"),
            *("--html", str(page)),
        ]
        done = subprocess.run(
            command,
            env=_environment(os.environ),
            capture_output=True,  # its tables; ours say the same and more
            text=True,
            timeout=args.seconds + _STOP_SECONDS,
            check=False,
        )
        if done.returncode or not report.exists():
            said = " | ".join(done.stderr.splitlines()[-_LOG_TAIL_LINES:])
            raise FailedPreconditionError(
                f"locust ended with {done.returncode} and said: {said}"
            )
        # On standard error: what a machine reads stays free of it.
        print(f"load: page written to {page}", file=sys.stderr)
        return LoadReport.from_json(json.loads(report.read_text()))


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child that imports what this process can import."""
    return {**variables, "PYTHONPATH": os.pathsep.join(sys.path)}


def print_report(report: LoadReport, address: str, console: Console) -> None:
    """Prints the figures as tables."""
    table = Table(title=f"{report.seconds:.0f} s on {address}", title_justify="left")
    table.add_column("journey")
    for name in ("calls", "errors", "rate/s", "p50 ms", "p99 ms", "max ms"):
        table.add_column(name, justify="right")
    for row in report.journeys:
        table.add_row(
            row.name,
            str(row.num_calls),
            str(row.num_errors),
            f"{row.rate:.1f}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            f"{row.max_ms:.1f}",
            style="bold" if row is report.total else None,
        )
    console.print(table)
    num_answers = sum(report.tiers.values())
    for title, counts in (("tiers", report.tiers), ("reasons", report.reasons)):
        parts = [
            f"{name} {count} ({count / num_answers:.1%})"
            for name, count in sorted(counts.items(), key=lambda pair: -pair[1])
        ]
        console.print(f"{title:8} {', '.join(parts) or '-'}")
    if report.errors:
        console.print(f"errors   {report.errors}", style="red")
    if report.void:
        console.print(f"void     {report.void}", style="red")
