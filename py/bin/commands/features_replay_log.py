"""`./stepwell features replay-log`: is the online store what the event log makes?"""

import argparse
import json
import tempfile
from collections.abc import Collection
from contextlib import ExitStack, closing
from dataclasses import asdict
from functools import partial
from pathlib import Path

from log_command import (
    add_log_arguments,
    add_user_state_argument,
    line_progress,
    user_state_of,
)
from project_state import ProjectState, project_root
from stepwell.base.clock import SystemClock
from stepwell.base.errors import InvalidArgumentError
from stepwell.feedback.log_replay import LogReplay, ReplayReport
from stepwell.releases.live_release import live_release
from stepwell.releases.manifest import parse_manifest
from stepwell.releases.verification import read_manifest
from stepwell.schema.events import HISTORY_EVENT_TYPES, EventType, history_types_of
from stepwell.stores.locations import open_event_log, open_key_value_store

EXPLAINED = """\
Folds the event log again from its start into an empty store, and compares every row
with the online store, byte by byte: users' histories and activity, and the snapshot of
the items' counts. Exit code 1 where one differs. Nothing is changed; a server may run.

The store must have begun with the state that --user-state names, which is the one of
the last training unless you say otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `features replay-log`."""
    parser.description = EXPLAINED
    add_log_arguments(parser)
    parser.add_argument(
        "--store", metavar="WHERE", help="the online store, likewise a folder or URL"
    )
    add_user_state_argument(parser)
    parser.add_argument(
        "--history-types",
        metavar="NAMES",
        help="event types that enter histories, by comma (default: the release's)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def run(args: argparse.Namespace) -> int:
    """Replays and tells; returns 0 when every byte is the same, else 1."""
    state = ProjectState(project_root(), args.data)
    types = _history_types(args.history_types, state)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = open_event_log(args.event_log or str(state.event_log))
        stack.enter_context(closing(log))
        store = open_key_value_store(args.store or str(state.online_store))
        stack.enter_context(closing(store))
        scratch = open_key_value_store(str(folder / "online.lmdb"))
        stack.enter_context(closing(scratch))
        begun_with = user_state_of(args, state)
        replay = LogReplay(log, store, scratch, SystemClock(), begun_with)
        with line_progress("folding", quiet=args.json) as on_progress:
            report = replay.run(types, partial(on_progress, "folding"))
    print(_json(report) if args.json else text_of(report))
    return 0 if report.identical else 1


def text_of(report: ReplayReport) -> str:
    """Returns the report for people."""
    items = {None: "no snapshot", True: "the same bytes", False: "DIFFERENT"}
    lines = [
        f"log      {report.num_lines:,} lines folded again",
        f"users    {report.num_users:,} with {report.num_rows:,} rows, "
        f"{report.num_different:,} different",
        *(f"         {view} of {user}" for view, user in report.different),
        f"items    {items[report.items_same]}",
    ]
    return "\n".join(lines)


def _json(report: ReplayReport) -> str:
    return json.dumps({**asdict(report), "identical": report.identical})


def _history_types(named: str | None, state: ProjectState) -> Collection[EventType]:
    if named is not None:
        try:
            return frozenset(EventType.named(name) for name in named.split(","))
        except ValueError as error:
            raise InvalidArgumentError(
                f"--history-types: {error}", "history_types"
            ) from error
    live = live_release(state.registry)
    if live is None:
        return HISTORY_EVENT_TYPES
    manifest = parse_manifest(read_manifest(live.directory))
    return history_types_of(manifest.metadata.models)
