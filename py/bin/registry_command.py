"""What commands over a registry share: which one, with what key, who hears of it."""

import argparse
import getpass
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from rich.console import Console

from project_state import (
    DATA_SETS,
    DEFAULT_DATA_SET,
    ProjectState,
    project_root,
    running_server,
)
from stepwell.base.errors import NotFoundError, UnavailableError
from stepwell.releases.aliases import Aliases
from stepwell.releases.manifest import release_id_of, serial_of
from stepwell.releases.rollout import Rollout
from stepwell.releases.rollout_policy import RolloutSnapshot, wanted
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import DirectorySource
from stepwell.serving.admin_gate import OPERATOR_KEY
from stepwell_pb.v1 import admin_pb2, admin_pb2_grpc

_CALL_SECONDS = 5.0
_LOAD_SECONDS = 300.0
"""A release that no server holds yet must be loaded first."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a running server made of a change.

    Attributes:
        address: of its AdminService.
        live: what it serves now, "" for nothing; of several processes, the first's.
        seconds: from the asking to the answer.
        problems: where it does not do what the aliases say, and why.
    """

    address: str
    live: str
    seconds: float
    problems: tuple[str, ...]


def release_serial(text: str) -> int:
    """Returns the serial of a release's id; an argparse type."""
    serial = serial_of(text)
    if serial is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no release, such as v000004")
    return serial


def add_registry_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --data, --registry and --json."""
    parser.add_argument(
        "--data",
        choices=DATA_SETS,
        default=DEFAULT_DATA_SET,
        help="data set whose registry is meant (default: %(default)s)",
    )
    parser.add_argument(
        "--registry", type=Path, metavar="DIR", help="another registry than --data's"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def add_change_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of a command that changes the aliases."""
    add_registry_arguments(parser)
    parser.add_argument("--key", type=Path, metavar="FILE", help="the signing key")
    parser.add_argument(
        "--address",
        metavar="WHERE",
        help="AdminService of the server that must follow, such as unix:PATH or "
        "HOST:PORT; default: the one that runs here, where it serves this registry",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, change nothing"
    )


def registry_of(args: argparse.Namespace) -> Path:
    """Returns the registry that the arguments mean."""
    registry: Path | None = args.registry
    return registry or ProjectState(project_root(), args.data).registry


def changed(
    args: argparse.Namespace, change: Callable[[Rollout], Aliases], what: str
) -> int:
    """Changes the aliases, has the server follow, prints; returns the exit status.

    Args:
        args: with what `add_change_arguments` added.
        change: of the aliases.
        what: was done, for people and for the server's audit log.
    Returns:
        0; 1 when the aliases say it and a server that was asked does not do it.
    Raises:
        StepwellError: the change is refused, with its reason; nothing is changed then.
    """
    registry = registry_of(args)
    path = args.key or ProjectState(project_root(), args.data).signing_key
    if not path.exists():
        raise NotFoundError(f"there is no signing key {path}")
    key = SigningKey.load_or_create(path)
    aliases = change(Rollout(registry, key, dry_run=args.dry_run))
    heard = None
    address = admin_address(args)
    if address and not args.dry_run:
        who = getpass.getuser()
        heard = told(address, registry, f"{who}: {what} ({describe_aliases(aliases)})")
    if args.json:
        print(json.dumps(as_fields(aliases, heard, dry_run=args.dry_run)))
    else:
        _describe(aliases, heard, ("would: " if args.dry_run else "") + what)
    return int(heard is not None and bool(heard.problems))


def admin_address(args: argparse.Namespace) -> str:
    """Returns where the server is that must follow; "" where none runs."""
    if getattr(args, "address", None):
        return str(args.address)
    server = running_server(project_root())
    if server is None or server.data != args.data or args.registry is not None:
        return ""
    return server.admin_address


def listed(address: str) -> admin_pb2.ReleasesView:
    """Asks a server which releases it holds; UnavailableError without an answer."""
    with grpc.insecure_channel(address) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        request = admin_pb2.ListReleasesRequest()
        view: admin_pb2.ReleasesView
        view = _called(stub.ListReleases, request, _CALL_SECONDS)
        return view


def told(address: str, registry: Path, reason: str) -> Heard:
    """Has a server look at the registry now, and says what came of it."""
    started = time.monotonic()
    with grpc.insecure_channel(address) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        request = admin_pb2.PollReleasesRequest(reason=reason[:256])
        try:
            view = _called(stub.PollReleases, request, _LOAD_SECONDS)
        except UnavailableError as error:
            return Heard(address, "", time.monotonic() - started, (str(error),))
    seconds = time.monotonic() - started
    live = release_id_of(view.live_serial) if view.live_serial else ""
    return Heard(address, live, seconds, tuple(_problems(registry, view)))


def as_fields(
    aliases: Aliases, heard: Heard | None, *, dry_run: bool
) -> dict[str, Any]:
    """Returns what --json prints."""
    canary = aliases.canary
    server = None
    if heard is not None:
        server = {name: getattr(heard, name) for name in Heard.__slots__}
    return {
        "live": release_id_of(aliases.live),
        "previous": _name(aliases.previous),
        "pinned": _name(aliases.pinned),
        "canary": None
        if canary is None
        else {
            "release": release_id_of(canary.serial),
            "percent": canary.share_ppm / 1e4,
            "is_shadow": canary.is_shadow,
        },
        "dry_run": dry_run,
        "server": server,
    }


def describe_aliases(aliases: Aliases) -> str:
    """Returns the parts in one line, such as "live v000002, canary v000003 5 %"."""
    parts = [f"live {release_id_of(aliases.live)}"]
    if aliases.previous is not None:
        parts.append(f"previous {release_id_of(aliases.previous)}")
    if (canary := aliases.canary) is not None:
        kind = "shadow" if canary.is_shadow else "canary"
        share = f"{canary.share_ppm / 1e4:g} %"
        parts.append(f"{kind} {release_id_of(canary.serial)} {share}")
    if aliases.pinned is not None:
        parts.append(f"pinned to {release_id_of(aliases.pinned)}")
    return ", ".join(parts)


def _describe(aliases: Aliases, heard: Heard | None, what: str) -> None:
    console = Console(highlight=False)
    console.print(f"{what}\n{describe_aliases(aliases)}")
    if heard is not None:
        print_heard(heard, console)


def print_heard(heard: Heard, console: Console) -> None:
    """Prints whether the server follows."""
    if not heard.problems:
        console.print(f"the server follows, {heard.seconds * 1e3:.0f} ms")
    for problem in heard.problems:
        console.print(f"[red]the server does not follow:[/red] {problem}")


def _problems(registry: Path, view: admin_pb2.ReleasesView) -> Iterator[str]:
    state = DirectorySource(registry).state()
    if state.aliases is None:
        return
    want = wanted(
        RolloutSnapshot(
            available=[version.serial for version in state.versions],
            aliases=state.aliases,
            vetoed=state.vetoed,
        )
    )
    canary = want.canary.serial if want.canary is not None else 0
    for who, held in _processes(view):
        if held is None:
            yield f"{who}does not answer"
            continue
        for part, serial, actual in (
            ("live", want.live or 0, held.live_serial),
            ("the canary", canary, held.canary.serial),
        ):
            if serial != actual:
                name = release_id_of(serial) if serial else "none"
                yield f"{who}{name} is not {part}{_why(held, serial)}"


def _processes(
    view: admin_pb2.ReleasesView,
) -> Sequence[tuple[str, admin_pb2.ReleasesView | None]]:
    if not view.workers:
        return [("", view)]
    return [
        (f"process {one.worker}: ", one.view if one.HasField("view") else None)
        for one in view.workers
    ]


def _why(held: admin_pb2.ReleasesView, serial: int) -> str:
    reasons = {release.serial: release.reason for release in held.releases}
    reasons |= {veto.serial: f"taken down: {veto.reason}" for veto in held.vetoes}
    return f": {reasons[serial]}" if reasons.get(serial) else ""


def _name(serial: int | None) -> str | None:
    return None if serial is None else release_id_of(serial)


def _called(method: Any, request: Any, seconds: float) -> Any:
    operator = ((OPERATOR_KEY, getpass.getuser()),)
    try:
        return method(request, timeout=seconds, metadata=operator)
    except grpc.RpcError as error:
        raise UnavailableError(f"{error.code().name}: {error.details()}") from error
