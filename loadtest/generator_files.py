"""The files through which a generator and who started it speak; nothing is pickled."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lanes import Lane
from open_loop import Schedule
from stepwell.client.retry_policy import RetryOptions

RUN_FILE = "run.npz"
_SCHEDULE_FILE, _LANES_FILE = "schedule.npz", "lanes.json"


def write_work(folder: Path, schedule: Schedule, lanes: Sequence[Lane]) -> None:
    """Writes what is to be done."""
    np.savez(folder / _SCHEDULE_FILE, due_s=schedule.due_s, lane=schedule.lane)
    documents = [
        {**asdict(lane), "requests": [request.hex() for request in lane.requests]}
        for lane in lanes
    ]
    (folder / _LANES_FILE).write_text(json.dumps(documents))


def read_work(folder: Path) -> tuple[Schedule, list[Lane]]:
    """Reads what `write_work` wrote."""
    with np.load(folder / _SCHEDULE_FILE, allow_pickle=False) as file:
        schedule = Schedule(file["due_s"], file["lane"])
    documents = json.loads((folder / _LANES_FILE).read_text())
    return schedule, [_lane_of(document) for document in documents]


def _lane_of(document: dict[str, Any]) -> Lane:
    retries = document["retries"]
    return Lane(
        document["name"],
        tuple(bytes.fromhex(request) for request in document["requests"]),
        document["method"],
        document["deadline_ms"],
        RetryOptions(**retries) if retries else None,
    )
