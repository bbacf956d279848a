"""ranker_main: serves recommendations from the newest release of a registry.

    ranker_main --registry=DIR --store=DIR_OR_REDIS_URL --event_log=DIR_OR_REDIS_URL

Prints one JSON line {"port": ..., "metrics_port": ..., "admin_port": ..., "pid": ...,
"workers": [pid, ...], ...} once health says SERVING. SIGTERM and SIGINT drain: health
turns NOT_SERVING, calls in flight finish, the event log is flushed, exit 0. With
--workers=N this process supervises N that serve on one port, and SIGHUP replaces them
one by one.
"""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from absl import app

import worker_flags

# Read by OpenMP when torch is loaded: requests are the unit of parallelism here.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from parent_death import end_with_parent
from stepwell.base.errors import StepwellError
from stepwell.serving.process_life import log_as_json
from stepwell.serving.ready import Ready


def _announce(ready: Ready, workers: Sequence[int]) -> None:
    fields = {**asdict(ready), "pid": os.getpid(), "workers": list(workers)}
    line = json.dumps(fields)
    print(line, flush=True)
    if worker_flags.READY_FILE.value:
        path = Path(worker_flags.READY_FILE.value)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(line + "\n")
        temporary.rename(path)


def _serve(arguments: Sequence[str]) -> None:
    # A supervisor loads no models: what a worker needs is imported where it is one.
    if worker_flags.WORKERS.value > 1:
        from worker_supervisor import supervise

        asyncio.run(supervise(arguments, _announce))
    else:
        from worker_assembly import serve

        serve(lambda ready: _announce(ready, [os.getpid()]))


def main(argv: Sequence[str]) -> int:
    """Serves until a signal; returns 1 when it cannot start, 2 for wrong flags."""
    one_source = bool(worker_flags.REGISTRY.value) != bool(
        worker_flags.RELEASE_DIR.value
    )
    if len(argv) > 1 or not one_source:
        what = argv[1] if len(argv) > 1 else "give one of --registry and --release_dir"
        print(f"ranker_main: {what}", file=sys.stderr)
        return 2
    log_as_json()
    try:
        end_with_parent(worker_flags.PARENT_PID.value)
        _serve(sys.argv[1:])
    except (StepwellError, OSError) as error:
        print(f"ranker_main: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    app.run(main)
