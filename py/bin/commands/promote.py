"""`./stepwell promote`: makes a release live."""

import argparse

from registry_command import add_change_arguments, changed, release_serial
from stepwell.releases.manifest import release_id_of

_EXPLAINED = """\
Makes a release live in every server of the registry: the canary, or the one named.

What was live becomes the previous release. Servers keep it loaded, so that a rollback
needs no load: ./stepwell rollback."""

_EXAMPLES = """\
examples:  ./stepwell promote
           ./stepwell promote v000004 --dry-run"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `promote`."""
    parser.description, parser.epilog = _EXPLAINED, _EXAMPLES
    parser.add_argument(
        "release",
        nargs="?",
        type=release_serial,
        metavar="ID",
        help="such as v000004 (default: the canary)",
    )
    parser.add_argument(
        "--again", action="store_true", help="though a server took this release down"
    )
    add_change_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Promotes."""
    named = "the canary" if args.release is None else release_id_of(args.release)
    return changed(
        args,
        lambda rollout: rollout.promote(args.release, again=args.again),
        f"promoted {named}",
    )
