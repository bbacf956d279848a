import json
import math
import os
from pathlib import Path

import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.deadline import Deadline
from stepwell.degradation.tier import Tier
from stepwell.pipeline.query import Query
from stepwell.serving.shadow_log import RankedBy, ShadowLine, ShadowLog
from stepwell.serving.slate_difference import ShownItems, SlateDifference

QUERY = Query("r1", "ann", 2, 77, Deadline(FakeClock(), 0))
LIVE = RankedBy("v000001", Tier.FULL, 900, ShownItems(("a", "b"), (0.5, 0.25)))
SHADOW = RankedBy("v000002", Tier.FULL, 950, ShownItems(("c",), (-math.inf,)))
LINE = ShadowLine(QUERY, LIVE, SHADOW, SlateDifference(0.0, math.nan, math.nan))


def test_a_line_says_what_both_made_of_the_request(tmp_path: Path) -> None:
    path = tmp_path / "shadow.jsonl"
    log = ShadowLog(path)
    log.write(LINE)
    log.write(LINE)
    first, second = path.read_text().splitlines()
    assert first == second
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(first) == {
        "request_id": "r1",
        "user_id": "ann",
        "event_time_seconds": 77,
        "overlap": 0.0,
        "rank_correlation": None,
        "score_gap": None,
        "live": {
            "release_id": "v000001",
            "tier": "full",
            "service_us": 900,
            "item_ids": ["a", "b"],
            "scores": [0.5, 0.25],
        },
        "shadow": {
            "release_id": "v000002",
            "tier": "full",
            "service_us": 950,
            "item_ids": ["c"],
            "scores": [None],
        },
    }


def test_the_file_is_moved_aside_when_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "shadow.jsonl"
    size = len(LINE.to_json())
    log = ShadowLog(path, max_bytes=2 * size)
    for _ in range(7):
        log.write(LINE)
    assert path.stat().st_size == size
    assert path.with_name("shadow.jsonl.1").stat().st_size == 3 * size


def test_a_file_that_two_processes_find_full_is_moved_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shadow.jsonl"
    size = len(LINE.to_json())
    logs = [ShadowLog(path, max_bytes=size) for _ in range(2)]
    written = os.write

    def write_after_another(descriptor: int, line: bytes) -> int:
        monkeypatch.setattr(os, "write", written)
        # Both have opened the same file; the other one is first to find it full.
        for _ in range(2):
            logs[1].write(LINE)
        logs[1].write(LINE)
        return written(descriptor, line)

    monkeypatch.setattr(os, "write", write_after_another)
    logs[0].write(LINE)
    assert path.stat().st_size == size
    assert path.with_name("shadow.jsonl.1").stat().st_size == 3 * size


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    ShadowLog(tmp_path / "no" / "folder").write(LINE)
    ShadowLog(None).write(LINE)
