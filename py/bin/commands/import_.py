"""`./stepwell import`: what an import takes, what it refuses, and why."""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path

from stepwell.base.errors import InvalidArgumentError, StepwellError
from stepwell.stores.locations import open_key_value_store
from stepwell.training.import_events import ImportOptions, import_events
from stepwell.training.import_feast import (
    FeastImport,
    import_feast,
    put_newest,
    write_views,
)

_EXPLAINED = """\
Reads data, checks every row, and says what it refused and why, by file and row.

--data DIR    a folder of events as for ./stepwell train, which reads it just so: a dry
              run that writes nothing.
--feast DIR   a Feast repository: feature_store.yaml and the registry that feast apply
              wrote; none of its Python is run. Each view's offline Parquet becomes
              OUT/VIEW.parquet, in the form of point-in-time joins; --store puts the
              newest row of each entity online. Views and features that have no form
              here are named and left out."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `import`."""
    parser.description = _EXPLAINED
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, metavar="DIR", help="folder of events")
    source.add_argument("--feast", type=Path, metavar="DIR", help="Feast repository")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="of feast: folder for the views' rows"
    )
    parser.add_argument(
        "--store",
        metavar="LOCATION",
        help="of feast: online store for the newest rows, a folder or redis://",
    )
    parser.add_argument(
        "--max-refused-share",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="part of a file's rows that may be unusable (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def run(args: argparse.Namespace) -> int:
    """Imports; returns 1, with what is wrong on standard error, when it cannot."""
    try:
        options = ImportOptions(args.max_refused_share)
        if args.feast:
            return _import_feast(args, options)
        for name in ("out", "store"):
            if getattr(args, name):
                raise InvalidArgumentError(f"--{name} is for --feast, not for --data")
        report = import_events(args.data, options).report
    except (StepwellError, OSError) as error:
        print(f"import: {error}", file=sys.stderr)
        return 1
    _say(args, report.as_json(), report.lines())
    return 0


def _import_feast(args: argparse.Namespace, options: ImportOptions) -> int:
    if not args.out:
        raise InvalidArgumentError("--feast needs --out, a folder for the rows", "out")
    imported = import_feast(args.feast, options)
    written = write_views(imported, args.out)
    num_online = 0
    if args.store:
        with closing(open_key_value_store(args.store)) as store:
            num_online = put_newest(imported, store)
    lines = imported.lines()
    lines += [f"written {path}" for path in written]
    if args.store:
        lines.append(f"{num_online} newest rows put into the online store")
    document = {
        **_document(imported),
        "written": [str(path) for path in written],
        "num_online": num_online,
    }
    _say(args, document, lines)
    return 0


def _document(imported: FeastImport) -> dict[str, object]:
    return {
        "project": imported.project,
        "views": {
            one.view.name: {
                "rows": one.rows.height,
                "features": [feature.name for feature in one.view.features],
                "schema_hash": one.view.schema_hash(),
            }
            for one in imported.views
        },
        "refusals": [
            {"what": refusal.what, "reason": refusal.reason}
            for refusal in imported.refusals
        ],
        "defaulted": dict(imported.num_defaulted),
        "report": imported.report.as_json(),
    }


def _say(
    args: argparse.Namespace, document: dict[str, object], lines: list[str]
) -> None:
    print(json.dumps(document) if args.json else "\n".join(lines))
