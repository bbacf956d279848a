"""`./stepwell export`: a release as one file, for another registry."""

import argparse
import json
from pathlib import Path

from rich.console import Console

from registry_command import add_registry_arguments, registry_of, release_serial
from stepwell.base.errors import AlreadyExistsError
from stepwell.releases.archive import complete_release, write_archive
from stepwell.releases.loader import trusted_key

_EXPLAINED = """\
Verifies a release and writes it as one tar file, a delta in its complete form. The
same release always gives the same bytes.

In another registry: ./stepwell publish --from FILE. It is signed anew there, with that
registry's key; --trusted-key names the key of the one that it comes from."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `export`."""
    parser.description = _EXPLAINED
    parser.epilog = "example:  ./stepwell export v000004 v000004.tar"
    parser.add_argument(
        "release", type=release_serial, metavar="ID", help="such as v000004"
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="must not be there yet")
    parser.add_argument("--trusted-key", type=Path, metavar="FILE", help="public key")
    add_registry_arguments(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="verify only, write nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Exports.

    Raises:
        StepwellError: the release is not there or not whole, or the file is there.
    """
    registry = registry_of(args)
    key = trusted_key(registry, args.trusted_key)
    if args.file.exists():
        raise AlreadyExistsError(f"{args.file} is there already")
    with complete_release(registry, args.release, key) as (directory, manifest):
        if not args.dry_run:
            write_archive(directory, manifest, args.file)
    fields = {
        "release": manifest.release_id,
        "file": str(args.file),
        "num_files": len(manifest.files),
        "total_bytes": manifest.total_bytes,
        "dry_run": args.dry_run,
    }
    if args.json:
        print(json.dumps(fields))
        return 0
    verb = "would write" if args.dry_run else "wrote"
    Console(highlight=False).print(
        f"{verb} {args.file}: {manifest.release_id}, {len(manifest.files)} files, "
        f"{manifest.total_bytes / 1e6:.1f} MB"
    )
    return 0
