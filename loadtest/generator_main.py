"""generator_main: the process that generator.start starts.

    generator_main ADDRESS CONNECTIONS FOLDER

Reads the schedule and the lanes from the folder, prints {"started_s": ...} when it is
connected, and writes the run there.
"""

import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from answers import load_run_of
from call_loop import CallLoop
from generator_files import RUN_FILE, read_work
from stepwell.base.errors import StepwellError

_HEAD_START_SECONDS = 0.05


def main(argv: list[str]) -> int:
    """Makes the calls; returns 1 when it cannot begin, 2 for wrong arguments."""
    if len(argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    address, connections, folder = argv[0], int(argv[1]), Path(argv[2])
    schedule, lanes = read_work(folder)
    due_s, lane = schedule.due_s.tolist(), schedule.lane.tolist()
    loop = CallLoop(address, lanes, connections)
    try:
        loop.prepare(due_s, lane)
    except (StepwellError, OSError) as error:
        print(f"generator_main: {error}", file=sys.stderr)
        return 1
    started_s = time.perf_counter() + _HEAD_START_SECONDS
    print(json.dumps({"started_s": started_s}), flush=True)
    with _punctual():
        outcomes = loop.run(started_s)
    load_run_of(outcomes, due_s, lane, lanes, started_s).save(folder / RUN_FILE)
    return 0


@contextlib.contextmanager
def _punctual() -> Iterator[None]:
    """A call that leaves late for want of a core says nothing about the server.

    Without the right to it lateness is still measured, and voids what has too much.
    """
    gc.disable()  # nothing here makes cycles
    with contextlib.suppress(PermissionError):
        # It sleeps most of the time; a core's worth of it would void the run anyway.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
