"""`./stepwell releases`: what the registry holds, and what the server does with it."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from google.protobuf import json_format
from rich.console import Console
from rich.table import Table

from registry_command import (
    add_registry_arguments,
    admin_address,
    listed,
    registry_of,
)
from release_listing import ListedRelease, listed_releases
from stepwell.base.errors import UnavailableError
from stepwell.releases.manifest import release_id_of
from stepwell_pb.v1 import admin_pb2

_EXPLAINED = """\
Lists the releases of a registry, newest first: age, size, part (live, previous, canary,
shadow, pinned), NDCG@10 and mean cost of the tiers full/reduced/popular as the
model card has them, what a delta stands on, and why a server took a canary down.
Below it, what the running server holds: a release's state, and why it was refused."""

_EXAMPLES = """\
examples:  ./stepwell releases
           ./stepwell releases --json"""
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `releases`."""
    parser.description, parser.epilog = _EXPLAINED, _EXAMPLES
    add_registry_arguments(parser)
    parser.add_argument(
        "--address",
        metavar="WHERE",
        help="AdminService of another server",
    )


def run(args: argparse.Namespace) -> int:
    """Lists; returns 0, also for an empty registry."""
    registry = registry_of(args)
    _, releases = listed_releases(registry)
    address = admin_address(args)
    view, problem = None, ""
    if address:
        try:
            view = listed(address)
        except UnavailableError as error:
            problem = str(error)
    if args.json:
        server = None if view is None else json_format.MessageToDict(view)
        fields = {
            "registry": str(registry),
            "releases": [asdict(release) for release in releases],
            "server": server,
        }
        print(json.dumps(fields))
        return 0
    console = Console(highlight=False)
    if not releases:
        console.print(f"{registry} holds no release; run: ./stepwell publish")
    else:
        console.print(_table(releases))
    if view is not None:
        _print_server(address, view, console)
    if problem:
        console.print(f"the server at {address} does not answer: {problem}")
    return 0


def _table(releases: list[ListedRelease]) -> Table:
    columns = ("release", "part", "age", "MB", "NDCG@10", "mean us", "base", "note")
    table = Table(*columns, box=None)
    for release in releases:
        size = f"{release.total_bytes / 1e6:.1f}"
        if release.stored_bytes != release.total_bytes:
            size = f"{release.stored_bytes / 1e6:.2f} of {size}"
        note = f"taken down: {release.veto}" if release.veto else release.problem
        table.add_row(
            release.release,
            " ".join(release.parts),
            _age(release.age_seconds),
            size,
            _figures(release.ndcg, "{:.3f}"),
            _figures(release.cost_us, "{:.0f}"),
            release.base,
            note,
        )
    return table


def _age(seconds: int) -> str:
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def _figures(figures: Mapping[str, Any] | None, form: str) -> str:
    values = (figures or {}).values()
    return "/".join("-" if one is None else form.format(one) for one in values)


def _print_server(address: str, view: admin_pb2.ReleasesView, console: Console) -> None:
    console.print(f"\nserver {address}")
    if not view.workers:
        _print_view(view, "  ", console)
    for worker in view.workers:
        console.print(f"  process {worker.worker}  pid {worker.pid}")
        if worker.HasField("view"):
            _print_view(worker.view, "    ", console)


def _print_view(view: admin_pb2.ReleasesView, indent: str, console: Console) -> None:
    parts = {view.live_serial: "live", view.standby_serial: "standby"}
    if view.HasField("canary"):
        kind = "shadow" if view.canary.is_shadow else "canary"
        parts[view.canary.serial] = f"{kind} {view.canary.share_ppm / 1e4:g} %"
    for release in reversed(view.releases):
        words = (
            release_id_of(release.serial),
            release.state.lower(),
            parts.get(release.serial, ""),
            release.reason,
        )
        console.print(indent + "  ".join(word for word in words if word))
    for veto in view.vetoes:
        console.print(
            f"{indent}{release_id_of(veto.serial)}  taken down: {veto.reason}"
        )
