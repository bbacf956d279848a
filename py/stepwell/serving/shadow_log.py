"""What a shadow made of live's requests, one JSON line each, in a bounded file."""

import fcntl
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from stepwell.degradation.tier import Tier
from stepwell.pipeline.query import Query
from stepwell.pipeline.slate import Slate
from stepwell.serving.engine import Engine
from stepwell.serving.slate_difference import ShownItems, SlateDifference

_log = structlog.get_logger(__name__)

MAX_BYTES = 64 << 20
"""Beyond it the file is moved to NAME.1, whose former lines are gone."""


@dataclass(frozen=True, slots=True)
class RankedBy:
    """A slate in ids, and how it came about."""

    release_id: str
    tier: Tier
    service_us: int
    items: ShownItems

    @classmethod
    def of(cls, engine: Engine, slate: Slate) -> "RankedBy":
        """Returns a slate of an engine."""
        labels, rows = engine.facts.labels, slate.ranked.candidates.rows.tolist()
        items = ShownItems(
            tuple([labels.of_row(row).item_id for row in rows]),
            tuple(slate.ranked.scores.tolist()),
        )
        service_us = sum(slate.stage_us.values())
        return cls(engine.facts.release_id, slate.tier, service_us, items)


@dataclass(frozen=True, slots=True)
class ShadowLine:
    """One request, ranked by both."""

    query: Query
    live: RankedBy
    shadow: RankedBy
    difference: SlateDifference

    def to_json(self) -> bytes:
        """Returns the line, with its end; what is no number is null."""
        found = self.difference
        fields = {
            "request_id": self.query.request_id,
            "user_id": self.query.user_id,
            "event_time_seconds": self.query.event_time,
            "overlap": _number(found.overlap),
            "rank_correlation": _number(found.rank_correlation),
            "score_gap": _number(found.score_gap),
            "live": _fields(self.live),
            "shadow": _fields(self.shadow),
        }
        return json.dumps(fields).encode() + b"\n"


class ShadowLog:
    """Appends lines to a file that no request waits for; it is not synced.

    Args:
        path: of the file, mode 0600; None keeps no lines.
        max_bytes: of the file; another as large may lie beside it.

    Concurrency: one thread of a process; several processes may share the file.
    """

    def __init__(self, path: Path | None, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._has_failed = False

    def write(self, line: ShadowLine) -> None:
        """Appends a line; a disk that takes none is said once."""
        if self._path is None:
            return
        try:
            self._append(self._path, line.to_json())
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                _log.warning("the shadow's log cannot be written", error=str(error))
            self._has_failed = True

    def _append(self, path: Path, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            # One write: lines of several processes do not mix.
            os.write(descriptor, line)
            if os.fstat(descriptor).st_size > self._max_bytes:
                _move_aside(path, descriptor)
        finally:
            os.close(descriptor)


def _move_aside(path: Path, descriptor: int) -> None:
    """Moves the file, unless another process that found it full has done so."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor)):
        path.replace(path.with_name(path.name + ".1"))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _fields(ranked: RankedBy) -> dict[str, Any]:
    return {
        "release_id": ranked.release_id,
        "tier": ranked.tier.label,
        "service_us": ranked.service_us,
        "item_ids": ranked.items.item_ids,
        "scores": [_number(score) for score in ranked.items.scores],
    }
