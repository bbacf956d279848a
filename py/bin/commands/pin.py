"""`./stepwell pin`: one release, whatever is published."""

import argparse

from registry_command import add_change_arguments, changed, release_serial
from stepwell.base.errors import InvalidArgumentError
from stepwell.releases.manifest import release_id_of

_EXPLAINED = """\
Has every server of the registry serve one release, whatever is published or promoted,
and ends the trial of a canary while it holds. A pin never falls back: a server that
cannot load the release keeps what it serves."""

_EXAMPLES = """\
examples:  ./stepwell pin v000002
           ./stepwell pin --none"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `pin`."""
    parser.description, parser.epilog = _EXPLAINED, _EXAMPLES
    parser.add_argument(
        "release", nargs="?", type=release_serial, metavar="ID", help="such as v000002"
    )
    parser.add_argument("--none", action="store_true", help="let servers go")
    add_change_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Pins, or lets go."""
    if args.none == (args.release is not None):
        raise InvalidArgumentError("give ID or --none", "release")
    name = "no release" if args.none else release_id_of(args.release)
    return changed(args, lambda rollout: rollout.pin(args.release), f"pinned to {name}")
