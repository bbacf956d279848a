"""Training rows of all of a data set, part of benchmark `features`.

`./stepwell rows` as a process of its own: import, point-in-time join, Parquet, then the
check of some entities' rows against a brute-force oracle. Time and memory are those of
the whole process, the oracle among them.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.report import BenchRow, at_most
from stepwell.base.errors import UnavailableError

MAX_SECONDS = 180.0
MAX_GIB = 4.0
NUM_CHECKED = 200
"""Entities whose rows the oracle makes anew, each with all of them."""

_GIB = 1 << 30
# The program that runs the benchmark: it is there with all that it imports.
_SCRIPT = Path(__file__).resolve().parents[2] / "py" / "bin" / "stepwell_main.py"


def training_rows(dataset: Path, num_checked: int = NUM_CHECKED) -> list[BenchRow]:
    """Returns the rows of the benchmark; a minute or two.

    Args:
        dataset: folder of events.
        num_checked: entities that the oracle looks at.
    Raises:
        UnavailableError: the command failed; says what it said last.
    """
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [
                *(sys.executable, str(_SCRIPT), "rows", f"--from={dataset}"),
                *(f"--out={scratch}/rows", f"--check={num_checked}", "--json"),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
    if not done.stdout.strip():
        last = " | ".join(done.stderr.splitlines()[-3:])
        raise UnavailableError(f"./stepwell rows failed: {last}")
    return rows_of(json.loads(done.stdout.splitlines()[-1]))


def rows_of(said: dict[str, Any]) -> list[BenchRow]:
    """Returns the verdicts on what the command said of itself."""
    checks = said["checked"].values()
    num_leaked = sum(check["num_leaked"] for check in checks)
    num_different = sum(check["num_different"] for check in checks)
    num_checked = sum(check["num_rows"] for check in checks)
    work = f"{said['num_rows']:,} training rows: import, point-in-time join, Parquet"
    against = f"the same, {num_checked:,} of them against the oracle"
    return [
        at_most(work, said["seconds"], "s", MAX_SECONDS),
        at_most("the same", said["peak_bytes"] / _GIB, "GiB peak", MAX_GIB),
        at_most(
            f"{against}: with a feature of a later time",
            float(num_leaked),
            "rows",
            0.0,
        ),
        at_most(f"{against}: with another feature row", num_different, "rows", 0.0),
    ]
