"""`./stepwell replay`: answers that were given, computed again and compared by bits."""

import argparse
import json
import sys
import time
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import cast

from engine_options import engine_options
from log_command import add_log_arguments, line_progress
from log_replayer import (
    Releases,
    ReplayReport,
    replay_log,
    replay_one,
)
from project_state import ProjectState, project_root
from serving_config import ServingConfig
from stepwell.base.errors import InvalidArgumentError, StepwellError, check_range
from stepwell.models.precision import DEFAULT_PRECISION, PRECISIONS, Precision
from stepwell.serving.replay import Replayed
from stepwell.stores.event_log import EventLog
from stepwell.stores.locations import open_event_log

_EXPLAINED = """\
Computes logged answers again: the release that gave them, the features that they read,
the candidates that were scored. Compares the features of the items shown, the items and
their scores, bit for bit, and names the first that differs. No store, index or server
is asked, and nothing is changed.

A request can be replayed when the ranker logged all that it read; it does so for the
share --replayable_share of the answers (0.01 unless said). Give the --config, --policy
and --scorer-precision that the server had: other ones give other answers.

Exit code 0 when all came out the same, 1 when one did not or none could be replayed."""

_EXAMPLES = """\
examples:  ./stepwell replay 7f0c2a9e41b74b22
           ./stepwell replay --all
           ./stepwell replay --all --limit 10000 --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `replay`."""
    parser.description, parser.epilog = _EXPLAINED, _EXAMPLES
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "request_id", nargs="?", metavar="REQUEST_ID", help="as its answer named it"
    )
    what.add_argument(
        "--all", action="store_true", help="every request that can be replayed"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="with --all: the first N of the log"
    )
    add_log_arguments(parser)
    parser.add_argument("--registry", type=Path, metavar="DIR", help="of the releases")
    parser.add_argument("--config", type=Path, metavar="FILE", help="of the server")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="of the server")
    parser.add_argument(
        "--hide-purchased-days",
        type=int,
        default=0,
        metavar="N",
        help="of the server (default: %(default)s)",
    )
    parser.add_argument(
        "--scorer-precision",
        choices=PRECISIONS,
        help=f"of the server (default: the config's, else {DEFAULT_PRECISION})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def run(args: argparse.Namespace) -> int:
    """Replays and tells."""
    try:
        return _run(args)
    except (StepwellError, OSError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 1


def _run(args: argparse.Namespace) -> int:
    if args.limit is not None:
        check_range("limit", args.limit, 1, 1_000_000_000)
        if not args.all:
            raise InvalidArgumentError("--limit goes with --all", "limit")
    state = ProjectState(project_root(), args.data)
    config = ServingConfig.read(args.config) if args.config else ServingConfig()
    precision = args.scorer_precision or config.scorer.precision or DEFAULT_PRECISION
    options = engine_options(
        config, args.policy, args.hide_purchased_days, cast(Precision, precision)
    )
    registry = args.registry or state.registry
    releases = Releases(registry, options)
    with closing(open_event_log(args.event_log or str(state.event_log))) as log:
        if args.all:
            return _replay_all(args, log, releases)
        replayed = replay_one(log, releases, args.request_id)
    print(json.dumps(_facts(replayed)) if args.json else text_of_one(replayed))
    return 0 if replayed.is_same else 1


def _replay_all(args: argparse.Namespace, log: EventLog, releases: Releases) -> int:
    started = time.monotonic()
    with line_progress("lines", quiet=args.json) as on_progress:
        tell = partial(on_progress, "lines")
        report = replay_log(log, releases, args.limit, tell)
    seconds = time.monotonic() - started
    print(_json(report, seconds) if args.json else text_of_all(report, seconds))
    return 0 if report.num_same and not report.num_different else 1


def text_of_one(replayed: Replayed) -> str:
    """Returns what became of one request, for people."""
    head = f"request {replayed.request_id} of release {replayed.release_id}: "
    if replayed.is_same:
        return f"{head}the same, {replayed.num_features:,} features and every score"
    lines = [f"{head}DIFFERENT"]
    lines += [f"  first {d.kind}: {d}" for d in replayed.differences]
    return "\n".join(lines)


def text_of_all(report: ReplayReport, seconds: float) -> str:
    """Returns what became of many requests, for people."""
    lines = [
        f"{report.num_replayed:,} requests replayed in {seconds:.1f} s: "
        f"{report.num_different:,} different; {report.num_features:,} features compared"
    ]
    lines += [
        f"{count:,} not replayed: {why}" for why, count in report.not_replayed.items()
    ]
    if not report.num_replayed and not report.not_replayed:
        lines.append("no request of the log was logged with all that it read")
    return "\n".join([*lines, *map(text_of_one, report.different)])


def _facts(replayed: Replayed) -> dict[str, object]:
    return {**asdict(replayed), "same": replayed.is_same}


def _json(report: ReplayReport, seconds: float) -> str:
    return json.dumps(
        {
            "num_replayed": report.num_replayed,
            "num_different": report.num_different,
            "num_features": report.num_features,
            "not_replayed": dict(report.not_replayed),
            "different": [_facts(replayed) for replayed in report.different],
            "seconds": seconds,
        }
    )
