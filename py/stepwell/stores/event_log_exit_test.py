"""A process that ends while threads are in the log ends in order."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The build takes dependencies from imports; the program below has its own.
    from stepwell.stores import event_log, lmdb_event_log  # noqa: F401

# Threads that nobody joins come back from the log when the interpreter has gone.
_PROGRAM = """
import sys, threading
from pathlib import Path
from stepwell.stores.event_log import EventRecord
from stepwell.stores.lmdb_event_log import LmdbEventLog

log = LmdbEventLog(Path(sys.argv[1]))
all_append = threading.Barrier(4)

def produce(lane):
    log.append([EventRecord(f"{lane}-first", b"x")])
    all_append.wait()
    for step in range(1_000_000):
        log.append([EventRecord(f"{lane}-{step}", b"x")])

for lane in "abc":
    threading.Thread(target=produce, args=(lane,), daemon=True).start()
all_append.wait()
print(log.submit([EventRecord("last", b"x")]).result().num_stored)
"""


def test_a_process_that_ends_with_threads_in_the_log_ends_in_order(
    tmp_path: Path,
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path / "events")],
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, b"", b"1\n")
