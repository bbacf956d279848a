"""Runs the pytest files named on the command line, as one Bazel test.

Bazel gives a scratch directory, a shard and a file for the XML report by environment
variables; this hands them to pytest.
"""

import os
import pathlib
import sys
import tempfile

import pytest


def main(argv: list[str]) -> int:
    """Exit status of pytest; no test collected counts as a failure."""
    scratch = pathlib.Path(os.environ.get("TEST_TMPDIR", "/tmp"))
    os.environ["HOME"] = str(scratch)
    # Not below Bazel's own: 107 bytes are all that a socket's path may have.
    with tempfile.TemporaryDirectory(prefix="stepwell-test-") as short:
        return int(pytest.main([*_options(pathlib.Path(short)), *argv]))


def _options(scratch: pathlib.Path) -> list[str]:
    args = [
        f"--rootdir={pathlib.Path.cwd()}",
        "--config-file=pyproject.toml",
        f"--basetemp={scratch / 't'}",
        "-p",
        "no:cacheprovider",
        "-q",
    ]
    report = os.environ.get("XML_OUTPUT_FILE")
    if report:
        args.append(f"--junit-xml={report}")
    only = os.environ.get("TESTBRIDGE_TEST_ONLY")
    if only:
        args.extend(["-k", only])
    return args


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
