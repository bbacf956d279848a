"""The audit log: whole lines, on disk, and no obstacle."""

import json
from pathlib import Path

from structlog.testing import capture_logs

from stepwell.base.clock import FakeClock
from stepwell.serving.audit_log import AuditEntry, AuditLog

ENTRY = AuditEntry("ForceTier", "ann at x", {"tier": "none"}, {"tier": "full"}, "why")


def test_an_entry_is_one_line_behind_the_others(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for log in (AuditLog(path, FakeClock()), AuditLog(path, FakeClock())):
        log.write(ENTRY)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 2
    assert lines[1] == {
        "time_us": FakeClock().wall_us(),
        "action": "ForceTier",
        "who": "ann at x",
        "before": {"tier": "none"},
        "after": {"tier": "full"},
        "reason": "why",
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_an_error_in_the_log_only(
    tmp_path: Path,
) -> None:
    with capture_logs() as logs:
        AuditLog(tmp_path / "missing" / "audit.jsonl", FakeClock()).write(ENTRY)
    assert [line["log_level"] for line in logs] == ["warning", "error"]


def test_without_a_file_there_is_the_log_line() -> None:
    with capture_logs() as logs:
        AuditLog(None, FakeClock()).write(ENTRY)
    assert logs[0]["action"] == "ForceTier"
    assert logs[0]["reason"] == "why"
