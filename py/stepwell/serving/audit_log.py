"""The audit log: who changed what, when and why, one JSON line each, on disk."""

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from stepwell.base.clock import Clock

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action of an operator, or of the guardrails.

    Attributes:
        action: "ForceTier", "SetLadder", "PollReleases", "Restart" or "CanaryRollback".
        who: the peer's address, with the name that it gave itself where it did;
            "guardrails" where nobody asked.
        before, after: what it changed.
        reason: as the operator gave it.
    """

    action: str
    who: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    reason: str


class AuditLog:
    """Appends lines that are synced before the action is answered.

    A disk that is full must not keep an operator from acting: what cannot be written is
    logged as an error, and the action stands.

    Args:
        path: the file, mode 0600; None keeps the log line only.
        clock: wall time.

    Concurrency: thread-safe; several processes may append to one file.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()

    def write(self, entry: AuditEntry) -> None:
        """Writes one line; returns when it is on disk."""
        fields = {
            "time_us": self._clock.wall_us(),
            "action": entry.action,
            "who": entry.who,
            "before": dict(entry.before),
            "after": dict(entry.after),
            "reason": entry.reason,
        }
        _log.warning("operator", **fields)
        if self._path is None:
            return
        try:
            self._append(json.dumps(fields).encode() + b"\n")
        except OSError as error:
            _log.error("the audit log cannot be written", error=str(error))

    def _append(self, line: bytes) -> None:
        assert self._path is not None
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        with self._lock:
            descriptor = os.open(self._path, flags, 0o600)
            try:
                # One write: lines of several processes do not mix.
                os.write(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
