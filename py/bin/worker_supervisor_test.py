"""What a supervisor tells its workers by their flags."""

from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver

import worker_flags
from worker_supervisor import flags_of_worker

PROGRAM = ("ranker_main", "--store=/store", "--registry=/releases")
EVENTS = "--event_log=/events"


@pytest.mark.parametrize(
    ("given", "audited"),
    [
        ([EVENTS], Path("/events/audit.jsonl")),
        ([EVENTS, "--audit_log=/a.jsonl"], Path("/a.jsonl")),
        ([EVENTS, "--audit_log="], None),
        (["--event_log=redis://127.0.0.1/0"], None),
    ],
)
def test_workers_take_down_canaries_where_operators_are_taken_down_by_it(
    given: list[str], audited: Path | None
) -> None:
    with flagsaver.flagsaver():
        flags.FLAGS([*PROGRAM, *given])
        assert worker_flags.audit_log() == worker_flags.rollback_log() == audited
        flags.FLAGS([*PROGRAM, *given, *flags_of_worker(port=1)])
        assert worker_flags.audit_log() is None
        assert worker_flags.rollback_log() == audited
