"""`./stepwell verify`: is a release whole, ours and fit to serve?"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from registry_command import add_registry_arguments, registry_of, release_serial
from stepwell.base.errors import InvalidArgumentError, NotFoundError, StepwellError
from stepwell.releases.archive import complete_release
from stepwell.releases.loader import trusted_key
from stepwell.releases.manifest import release_id_of
from stepwell.releases.signing import VerifyingKey
from stepwell.releases.source import DirectorySource

if TYPE_CHECKING:
    # The build takes dependencies from imports: the child is started from its file and
    # imports by this process's path.
    import release_check  # noqa: F401

_CHECK = Path(__file__).parent.parent / "release_check.py"
_CHECK_SECONDS = 300
_LAST_LINES = 3

_EXPLAINED = """\
Checks a release as a server does before it loads it: the manifest's form and signature,
the list of files, every size, every digest; a delta is made complete, and its result
checked. --deep then builds it in a child process and asks it a few made-up requests at
every tier: files that are whole and do not fit each other are found so."""

_EXAMPLES = """\
examples:  ./stepwell verify v000004 --deep
           ./stepwell verify --all --json"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one release; `problem` is "" for a good one."""

    release: str
    problem: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `verify`."""
    parser.description, parser.epilog = _EXPLAINED, _EXAMPLES
    parser.add_argument(
        "releases", nargs="*", type=release_serial, metavar="ID", help="such as v000004"
    )
    parser.add_argument("--all", action="store_true", help="every release there is")
    parser.add_argument(
        "--deep", action="store_true", help="build it too, and ask it something"
    )
    parser.add_argument(
        "--trusted-key",
        type=Path,
        metavar="FILE",
        help="public key; default: the registry's own",
    )
    add_registry_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Verifies; returns 1 when a release is not good."""
    registry = registry_of(args)
    serials = args.releases
    if bool(serials) == args.all:
        raise InvalidArgumentError("give IDs or --all", "releases")
    if args.all:
        serials = [version.serial for version in DirectorySource(registry).versions()]
        if not serials:
            raise NotFoundError(f"there is no release in {registry}")
    key = trusted_key(registry, args.trusted_key)
    verdicts = [verdict_of(registry, serial, key, args.deep) for serial in serials]
    if args.json:
        print(json.dumps([asdict(verdict) for verdict in verdicts]))
    else:
        console = Console(highlight=False)
        for verdict in verdicts:
            console.print(f"{verdict.release}  {verdict.problem or 'good'}")
    return int(any(verdict.problem for verdict in verdicts))


def verdict_of(
    registry: Path, serial: int, key: VerifyingKey, deep: bool = False
) -> Verdict:
    """Returns what is wrong with a release, if anything is."""
    name = release_id_of(serial)
    try:
        with complete_release(registry, serial, key) as (directory, _):
            return Verdict(name, _built(directory) if deep else "")
    except (StepwellError, OSError) as error:
        return Verdict(name, str(error))


def _built(directory: Path) -> str:
    try:
        child = subprocess.run(
            [sys.executable, str(_CHECK), str(directory)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=_CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"building it took longer than {_CHECK_SECONDS} s"
    if not child.returncode:
        return ""
    said = child.stderr.strip().splitlines()[-_LAST_LINES:]
    ended = "" if child.returncode > 0 else f" (ended by signal {-child.returncode})"
    return f"cannot serve: {' | '.join(said) or 'it said nothing'}{ended}"
