"""`./stepwell rollback`: back to what was live before."""

import argparse

from registry_command import add_change_arguments, changed, release_serial
from stepwell.releases.manifest import release_id_of

_EXPLAINED = """\
Makes the previous release live again in every server of the registry, models, index,
columns and lists together. Servers hold it loaded: they follow at once.

Two rollbacks in a row would bring the bad release back, so the second is refused
unless it names its release: --to."""

_EXAMPLES = """\
examples:  ./stepwell rollback
           ./stepwell rollback --to v000002"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `rollback`."""
    parser.description, parser.epilog = _EXPLAINED, _EXAMPLES
    parser.add_argument(
        "--to",
        type=release_serial,
        metavar="ID",
        help="this release in place of the previous one",
    )
    add_change_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Rolls back."""
    named = "the previous release" if args.to is None else release_id_of(args.to)
    return changed(
        args, lambda rollout: rollout.rollback(args.to), f"rolled back to {named}"
    )
