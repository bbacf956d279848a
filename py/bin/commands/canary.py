"""`./stepwell canary`: a release on trial for a share of the users."""

import argparse

from registry_command import add_change_arguments, changed, release_serial
from stepwell.base.errors import InvalidArgumentError
from stepwell.releases.manifest import release_id_of

_EXPLAINED = """\
Puts a release on trial: a share of the users is answered by it, the others by the
live one. Who is in is a hash of the user's id, the same in every server; while the
share of a trial grows, who is in stays in.

Servers watch the canary: when it is slower, fails, gives wrong scores or is clicked
less, they take it down by themselves and say why (./stepwell releases). More than half
of the users are too many for that: promote it instead. With --shadow nobody sees its
slates: they are computed after the answer, and compared."""

_EXAMPLES = """\
examples:  ./stepwell publish --no-promote
           ./stepwell canary v000004 --percent 5
           ./stepwell canary v000004 --percent 20
           ./stepwell promote        or        ./stepwell canary --stop"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `canary`."""
    parser.description, parser.epilog = _EXPLAINED, _EXAMPLES
    parser.add_argument(
        "release", nargs="?", type=release_serial, metavar="ID", help="such as v000004"
    )
    parser.add_argument(
        "--percent",
        type=float,
        metavar="P",
        help="of the users, 0.0001 to 50; of a shadow to 100",
    )
    parser.add_argument(
        "--shadow", action="store_true", help="compute its slates and show them nobody"
    )
    parser.add_argument("--stop", action="store_true", help="end the trial")
    parser.add_argument(
        "--again", action="store_true", help="though a server took this release down"
    )
    add_change_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Starts, resizes or ends a trial."""
    if args.stop:
        if args.release is not None or args.percent is not None:
            raise InvalidArgumentError("--stop takes neither ID nor --percent", "stop")
        return changed(args, lambda rollout: rollout.stop_canary(), "canary stopped")
    if args.release is None or args.percent is None:
        raise InvalidArgumentError("give ID and --percent, or --stop", "release")
    if not 1e-4 <= args.percent <= 100:
        raise InvalidArgumentError(
            f"--percent is {args.percent:g}, must be in [0.0001, 100]", "percent"
        )
    share_ppm = round(args.percent * 1e4)
    kind = "shadow" if args.shadow else "canary"
    return changed(
        args,
        lambda rollout: rollout.canary(
            args.release, share_ppm, is_shadow=args.shadow, again=args.again
        ),
        f"{release_id_of(args.release)} is the {kind} of {args.percent:g} % of users",
    )
