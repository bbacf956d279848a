"""`./stepwell update`: new items and changed words in a release, without training."""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from project_state import DATA_SETS, DEFAULT_DATA_SET, ProjectState, project_root
from registry_command import release_serial
from registry_release import complete_release, live_serial
from stepwell.base.errors import StepwellError
from stepwell.releases.delta import default_cache
from stepwell.training.import_events_report import ImportReport
from stepwell.training.item_changes import read_item_changes
from stepwell.training.release_update import UpdatedRelease, update_release

_FOLDER = "updated"

_EXPLAINED = """\
Makes a release with new items, and with changed words about known ones, of the release
that is live. Nothing is trained, so it takes seconds:

  ./stepwell update new_items.csv
  ./stepwell publish .stepwell/DATA/updated --delta

The file is Parquet or CSV in the form of a data set's items: item_id, and optional
name, categories and numbers such as price. A new item is put where its like are: the
items of the finest category that it names and the release knows. It is found by its
category and as new from the first request on; what is bought with it is learned by the
next training. Of a known item the columns that the file fills are replaced."""


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """What is changed, of which release, and where the result goes."""

    items: Path
    registry: Path
    cache: Path
    out: Path
    base: int | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `update`."""
    parser.description = _EXPLAINED
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("items", type=Path, metavar="FILE", help="the table of items")
    parser.add_argument(
        "--data",
        choices=DATA_SETS,
        default=DEFAULT_DATA_SET,
        help="data set whose folders are the defaults below (default: %(default)s)",
    )
    parser.add_argument("--registry", type=Path, metavar="DIR", help="the registry")
    parser.add_argument(
        "--base",
        type=release_serial,
        metavar="ID",
        help="the release to change (default: the live one)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"where the result goes (default: {_FOLDER}, beside the registry)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def run(args: argparse.Namespace) -> int:
    """Updates; returns 1, with one line that says why, when that is refused."""
    console = Console(stderr=args.json, highlight=False)
    report = ImportReport()
    try:
        updated = update(plan_of(args), report)
    except (StepwellError, OSError) as error:
        for line in report.lines() if report.num_refused else ():
            print(f"update: {line}", file=sys.stderr)
        print(f"update: {error}", file=sys.stderr)
        return 1
    if args.json:
        fields = {**asdict(updated), "folder": str(updated.folder)}
        print(json.dumps({**fields, "report": report.as_json()}))
    else:
        _describe(updated, report, console)
    return 0


def plan_of(args: argparse.Namespace) -> UpdatePlan:
    """Returns the plan of the command's arguments, defaults filled in."""
    state = ProjectState(project_root(), args.data)
    registry = args.registry or state.registry
    return UpdatePlan(
        items=args.items,
        registry=registry,
        cache=default_cache(registry),
        out=args.out or state.folder / _FOLDER,
        base=args.base,
    )


def update(plan: UpdatePlan, report: ImportReport) -> UpdatedRelease:
    """Writes the updated release into the plan's folder.

    Raises:
        StepwellError: with the reason; the folder is as it was then.
    """
    changes = read_item_changes(plan.items, report)
    serial = plan.base or live_serial(plan.registry)
    base, manifest = complete_release(plan.registry, serial, plan.cache)
    now = int(time.time())
    return update_release(base, manifest, changes, plan.out, now)


def _describe(updated: UpdatedRelease, report: ImportReport, console: Console) -> None:
    for line in report.lines():
        console.print(line)
    console.print(
        f"{updated.num_new} new items, {updated.num_changed} changed; "
        f"{updated.num_items} items in [bold]{updated.folder}[/bold] "
        f"after {updated.seconds:.1f} s",
        soft_wrap=True,
    )
    # To be copied whole, whatever the width.
    console.print(f"next: ./stepwell publish {updated.folder} --delta", soft_wrap=True)
