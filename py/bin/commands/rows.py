"""`./stepwell rows`: what was shown, what became of it, and what was known then."""

import argparse
import json
import resource
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stepwell.base.errors import InvalidArgumentError, StepwellError
from stepwell.stores.redaction import without_secrets
from stepwell.training.impression_rows_run import forget_work, write_rows
from stepwell.training.impression_rows_tables import Prepared
from stepwell.training.impression_rows_writer import Resources, RowsOptions, RowsReport
from stepwell.training.point_in_time_check import (
    Checked,
    check_rows,
    num_different_by_polars,
)

_EXPLAINED = """\
Writes training rows as Parquet, one file a day.

From an event log, a row is a shown item with what became of it within the window: the
events that name its request. From a folder of events in which nothing was shown, each
event is a row. To each row come the features that were known when it was asked for: of
a later time, or written later, none is seen.

A day whose windows are over is never written again: run it every night, or again after
it was interrupted."""

_STAGES = ("import", "log", "features", "rows")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `rows`."""
    parser.description = _EXPLAINED
    parser.add_argument(
        "--from",
        dest="source",
        required=True,
        metavar="WHERE",
        help="an event log (a folder or redis://host:port/0) or a folder of events",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the rows"
    )
    parser.add_argument(
        "--history",
        default="",
        metavar="DIR",
        help="folder of events from before the log, for the features",
    )
    parser.add_argument(
        "--features",
        default="",
        metavar="DIR",
        help="folder of more views, NAME.parquet, as ./stepwell import --feast makes",
    )
    parser.add_argument(
        "--window-hours",
        type=float,
        default=168.0,
        metavar="H",
        help="an event answers a slate for so long (default: %(default)s)",
    )
    parser.add_argument(
        "--as-of",
        type=_unix_seconds,
        metavar="SECONDS",
        help="slates whose window is not over by then wait; unix seconds or `now` "
        "(default: the newest slate, or event where events are the rows)",
    )
    parser.add_argument(
        "--ignore-ingestion",
        action="store_true",
        help="see features from their event time on, also backfilled ones (leaks)",
    )
    parser.add_argument(
        "--check",
        type=int,
        default=0,
        metavar="N",
        help="hold rows written now, all of N entities, against a brute-force oracle",
    )
    parser.add_argument(
        "--check-polars",
        action="store_true",
        help="hold rows written now against the same join by Polars, in memory",
    )
    parser.add_argument(
        "--memory-limit",
        default="2GiB",
        metavar="SIZE",
        help="of the join; what is more goes to the disk (default: %(default)s)",
    )
    parser.add_argument(
        "--threads", type=int, default=2, metavar="N", help="default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def _unix_seconds(text: str) -> int:
    return int(time.time()) if text == "now" else int(text)


def run(args: argparse.Namespace) -> int:
    """Writes the rows; returns 1 when that is refused or a check has failed."""
    options = RowsOptions(
        source=args.source,
        history=args.history,
        features=args.features,
        window_seconds=round(args.window_hours * 3_600),
        check_ingestion=not args.ignore_ingestion,
    )
    console = Console(stderr=args.json)
    start = time.monotonic()
    try:
        report, prepared = _write(args, options, console)
        parts = [args.out / name for name in report.parts_written]
        checks = _checked(args, parts, prepared, options)
        others = _by_polars(args, parts, prepared, options)
    except (StepwellError, OSError) as error:
        print(f"rows: {without_secrets(str(error))}", file=sys.stderr)
        return 1
    is_wrong = any(others.values()) or any(
        check.num_leaked or check.num_different for check in checks.values()
    )
    if not is_wrong:
        forget_work(args.out)
    seconds = time.monotonic() - start
    if args.json:
        document = _as_json(report, prepared, checks, seconds)
        print(json.dumps({**document, "different_by_polars": others}))
    else:
        _describe(args, report, prepared, console)
        _describe_checks(checks, others, console)
    return int(bool(is_wrong))


def _write(
    args: argparse.Namespace, options: RowsOptions, console: Console
) -> tuple[RowsReport, Prepared]:
    columns = (TextColumn("{task.description:<8}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bars = {
            stage: progress.add_task(stage, total=1.0, visible=False)
            for stage in _STAGES
        }

        def show(stage: str, share: float) -> None:
            progress.update(bars[stage], completed=share, visible=True)

        return write_rows(
            args.out,
            options,
            Resources(args.memory_limit, args.threads),
            show,
            args.as_of,
        )


def _checked(
    args: argparse.Namespace,
    parts: list[Path],
    prepared: Prepared,
    options: RowsOptions,
) -> dict[str, Checked]:
    if not args.check or not parts:
        return {}
    return {
        view.name: check_rows(parts, view, args.check, options.check_ingestion)
        for view in prepared.views
    }


def _by_polars(
    args: argparse.Namespace,
    parts: list[Path],
    prepared: Prepared,
    options: RowsOptions,
) -> dict[str, int]:
    if not args.check_polars or not parts:
        return {}
    if not options.check_ingestion:
        raise InvalidArgumentError("--check-polars checks ingestion, the rows do not")
    return {view.name: num_different_by_polars(parts, view) for view in prepared.views}


def _as_json(
    report: RowsReport, prepared: Prepared, checks: dict[str, Checked], seconds: float
) -> dict[str, object]:
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        **asdict(report),
        "import": prepared.report.as_json() if prepared.report else None,
        "checked": {name: asdict(check) for name, check in checks.items()},
        "seconds": round(seconds, 1),
        "peak_bytes": peak_kib * 1024,
    }


def _describe(
    args: argparse.Namespace,
    report: RowsReport,
    prepared: Prepared,
    console: Console,
) -> None:
    for line in prepared.report.lines() if prepared.report else []:
        console.print(line, highlight=False)
    console.print(
        f"[bold]{report.num_rows}[/bold] rows in {args.out}: "
        f"{len(report.parts_written)} days written now, {report.days_kept} kept",
        soft_wrap=True,
    )
    if report.num_forgotten:
        console.print(
            f"the log has forgotten its first {report.num_forgotten} lines: features "
            "know of them what --history has",
            soft_wrap=True,
        )
    for day in report.days_cut:
        console.print(f"{day} is not written: the log has forgotten some of it")
    if not report.num_rows:
        console.print(
            "nothing is due: slates wait for the end of their window (--as-of)"
        )
    for view, found in report.joined_by.items():
        words = ", ".join(f"{count} {look}" for look, count in found.items())
        console.print(f"{view}: {words or 'no row had any'}")
    for cause, count in report.unattributed.items():
        console.print(f"{count} events answer no slate: {cause.lower()}")


def _describe_checks(
    checks: dict[str, Checked], others: dict[str, int], console: Console
) -> None:
    for view, check in checks.items():
        console.print(
            f"{view}: {check.num_rows} rows of {check.num_entities} entities checked, "
            f"{check.num_leaked} leaked, {check.num_different} differ from the oracle"
        )
    for view, count in others.items():
        console.print(f"{view}: {count} rows differ from the join by Polars")
