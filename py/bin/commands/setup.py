"""`./stepwell setup`: build everything, so that later commands start at once.

The launcher has already installed the packages when this runs; it also works as the
plain check that a machine is ready.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

# What the commands need at run time; tests are built by `./stepwell test`.
TARGETS = ("//py/...", "//cc/...", "//proto/...")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `setup`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Builds all programs and libraries; returns bazel's exit status."""
    root = Path(os.environ.get("STEPWELL_ROOT", Path.cwd()))
    start = time.monotonic()
    command = ["bazel", "build", "--ui_event_filters=-info", *TARGETS]
    status = subprocess.run(command, cwd=root, check=False).returncode
    seconds = round(time.monotonic() - start, 1)
    if args.json:
        print(json.dumps({"ready": status == 0, "build_s": seconds}))
    elif status == 0:
        print(f"Ready, built in {seconds} s. Next: ./stepwell demo")
    return status
