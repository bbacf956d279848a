"""Builds a release and asks it a few made-up requests: a child of `verify --deep`.

    release_check.py DIRECTORY

What is wrong is said on standard error, exit 1. A process of its own: a release that
makes a library crash takes down nothing but the check.
"""

import os
import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")

from stepwell.base.clock import SystemClock
from stepwell.base.errors import StepwellError
from stepwell.base.metrics import Metrics
from stepwell.releases.manifest import parse_manifest
from stepwell.releases.verification import read_manifest
from stepwell.serving.engine_builder import EngineBuilder
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore


def check(directory: Path) -> None:
    """Builds the release's engine over an empty store; that asks it at every tier.

    Raises:
        StepwellError: names the file and what is wrong with it.
    """
    manifest = parse_manifest(read_manifest(directory))
    with TemporaryDirectory(prefix="stepwell-") as folder:
        store = LmdbKeyValueStore(Path(folder) / "store")
        try:
            EngineBuilder(store, SystemClock(), Metrics()).build(directory, manifest)
        finally:
            store.close()


def main(argv: list[str]) -> int:
    """Checks the one directory that is named."""
    # A crash is an answer here: it leaves no core file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        check(Path(argv[1]))
    except (StepwellError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
