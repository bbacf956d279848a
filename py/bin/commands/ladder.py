"""`./stepwell ladder`: how a server's ladder stands, and the operator's hand on it."""

import argparse
import getpass
import json
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table

from project_state import project_root, running_server
from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.serving.admin_gate import OPERATOR_KEY
from stepwell_pb.v1 import admin_pb2, admin_pb2_grpc, common_pb2

_CALL_SECONDS = 5.0
_TIERS = {
    "full": common_pb2.TIER_FULL,
    "reduced": common_pb2.TIER_REDUCED,
    "popular": common_pb2.TIER_POPULAR,
    "none": common_pb2.TIER_UNSPECIFIED,
}

_EXPLAINED = """\
Shows how the ladder of a running server stands, pins it to a tier, and changes its
constants until the server ends. A server of several processes passes the word on to
all. Who, what and why go to the audit log, audit.jsonl beside the event log."""

_EXAMPLES = """\
examples:  ./stepwell ladder show
           ./stepwell ladder force popular --reason "store migration"
           ./stepwell ladder force none --reason "migration is over"
           ./stepwell ladder set latency_budget_us=20000 trim.low_ppm=200000 \\
               breakers.store.slow_call_us=10000 --reason "tighter budget" """


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `ladder`."""
    parser.description, parser.epilog = _EXPLAINED, _EXAMPLES
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="tiers, constants, breakers, processes")
    force = actions.add_parser("force", help="pin every request to one tier")
    force.add_argument("tier", choices=list(_TIERS), help="none gives the choice back")
    change = actions.add_parser("set", help="change constants: KEY=VALUE ...")
    change.add_argument(
        "constants",
        nargs="+",
        metavar="KEY=VALUE",
        help="a whole number by its name in `show`, such as trim.low_ppm=300000",
    )
    for action in (force, change):
        action.add_argument("--reason", required=True, help="for the audit log")
    for action in (show, force, change):
        action.add_argument(
            "--address",
            metavar="WHERE",
            help="unix:PATH or HOST:PORT of AdminService; default: of the server here",
        )
        action.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Does the action and prints; returns 0.

    Raises:
        UnavailableError: no server runs or it does not answer.
        InvalidArgumentError: a constant's name, or a value, is none.
    """
    console = Console(highlight=False)
    with grpc.insecure_channel(_address(args.address)) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        if args.action == "show":
            status = _called(stub.GetStatus, admin_pb2.GetStatusRequest())
            _print(status, args, console, print_status)
        elif args.action == "force":
            forced = admin_pb2.ForceTierRequest(
                tier=_TIERS[args.tier], reason=args.reason
            )
            _print(_called(stub.ForceTier, forced), args, console, _print_forced)
        else:
            wanted = request_of(args.constants, args.reason)
            _print(_called(stub.SetLadder, wanted), args, console, _print_former)
    return 0


def request_of(constants: list[str], reason: str) -> admin_pb2.SetLadderRequest:
    """Returns the request that sets what the words KEY=VALUE say.

    Raises:
        InvalidArgumentError: a word is no KEY=VALUE, or there is no such constant.
    """
    request = admin_pb2.SetLadderRequest(reason=reason)
    for word in constants:
        key, equals, value = word.partition("=")
        if not equals or not value.removeprefix("-").isdecimal():
            raise InvalidArgumentError(
                f"{word!r} is no KEY=VALUE with a whole number", "constants"
            )
        _set(request, key, int(value))
    return request


def _set(request: admin_pb2.SetLadderRequest, key: str, value: int) -> None:
    *path, name = key.split(".")
    message: Message = request.ladder
    if path[:1] == ["breakers"] and len(path) == 2:
        message = request.breakers[path[1]]
    else:
        for part in path:
            message = _part(message, part, key)
    if name not in message.DESCRIPTOR.fields_by_name:
        names = ", ".join(message.DESCRIPTOR.fields_by_name)
        text = f"there is no constant {key!r}; beside it are: {names}"
        raise InvalidArgumentError(text, "constants")
    if message.DESCRIPTOR.fields_by_name[name].message_type is not None:
        raise InvalidArgumentError(f"{key!r} has parts: {key}.…", "constants")
    setattr(message, name, value)


def _part(message: Message, name: str, key: str) -> Message:
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None or field.message_type is None:
        parts = [
            field.name
            for field in message.DESCRIPTOR.fields
            if field.message_type is not None
        ]
        text = f"there is no constant {key!r}; parts are: breakers, {', '.join(parts)}"
        raise InvalidArgumentError(text, "constants")
    part: Message = getattr(message, name)
    return part


def _address(given: str | None) -> str:
    if given:
        return given
    server = running_server(project_root())
    if server is None or not server.admin_address:
        raise UnavailableError("no server runs here; run: ./stepwell serve")
    return server.admin_address


def _called(method: Any, request: Message) -> Any:
    operator = ((OPERATOR_KEY, getpass.getuser()),)
    try:
        return method(request, timeout=_CALL_SECONDS, metadata=operator)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            raise InvalidArgumentError(str(error.details())) from error
        raise UnavailableError(f"{error.code().name}: {error.details()}") from error


def _print(answer: Any, args: argparse.Namespace, console: Console, show: Any) -> None:
    if args.json:
        print(json.dumps(json_format.MessageToDict(answer), indent=1))
    else:
        show(answer, console)


def _print_forced(answer: admin_pb2.ForceTierResponse, console: Console) -> None:
    console.print(f"was  {_tier(answer.previous)}")


def _print_former(answer: admin_pb2.SetLadderResponse, console: Console) -> None:
    console.print("was")
    _print_constants(answer.previous_ladder, "", console)
    for name in sorted(answer.previous_breakers):
        _print_constants(answer.previous_breakers[name], f"breakers.{name}.", console)


def print_status(status: admin_pb2.GetStatusResponse, console: Console) -> None:
    """Prints tiers, constants, breakers and processes."""
    console.print(
        f"release  {status.release.release_id or 'none'} {status.release_state}\n"
        f"forced   {_tier(status.forced_tier)}\n"
        f"f        {status.fit_ratio:.3f}    waiting  {status.queue_length}"
    )
    table = Table("tier", "served", "mean us", "p95 us", "cost is", box=None)
    for tier in status.tiers:
        is_live = "live" if tier.cost_is_live else "the card's"
        row = (tier.num_served, tier.cost_mean_us, tier.cost_p95_us)
        table.add_row(_tier(tier.tier), *map(str, row), is_live)
    console.print(table)
    for worker in status.workers:
        console.print(
            f"worker {worker.worker}  {worker.state.lower()}  pid {worker.pid}  "
            f"restarts {worker.num_restarts}  waiting {worker.status.queue_length}"
        )
    for breaker in status.breakers:
        console.print(f"breaker {breaker.name}  {breaker.state.lower()}")
    _print_constants(status.ladder, "", console)
    for breaker in status.breakers:
        _print_constants(breaker.constants, f"breakers.{breaker.name}.", console)


def _print_constants(message: Message, prefix: str, console: Console) -> None:
    for field, value in message.ListFields():
        if isinstance(value, Message):
            _print_constants(value, f"{prefix}{field.name}.", console)
        else:
            console.print(f"  {prefix}{field.name}={value}")


def _tier(tier: "common_pb2.Tier") -> str:
    words = {number: word for word, number in _TIERS.items()}
    return words.get(tier, "none")
