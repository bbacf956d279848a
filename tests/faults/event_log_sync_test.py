"""A disk that fails to sync: that batch is not acknowledged, the rest goes on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stepwell.stores.lmdb_event_log import LmdbEventLog

_APPEND = """
import json, sys
from pathlib import Path
from stepwell.base.errors import UnavailableError
from stepwell.stores.event_log import EventRecord
from stepwell.stores.lmdb_event_log import LmdbEventLog

log = LmdbEventLog(Path(sys.argv[1]))
acknowledged, failed = [], []
for number in range(8):
    try:
        log.append([EventRecord(f"e{number}", b"x")])
        acknowledged.append(f"e{number}")
    except UnavailableError:
        failed.append(f"e{number}")
readable = [event.event_id for event in log.read(0, 100)]
print(json.dumps([acknowledged, failed, readable]))
log.close()
"""

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace: apt-get install strace"
)


def append_under(path: Path, injection: str) -> list[list[str]]:
    """Returns the ids that were acknowledged, that failed, and that can be read."""
    # The log is made first, so that the N-th sync is that of an append.
    LmdbEventLog(path).close()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [
        *("strace", "-f", "-qq", "-o", "/dev/null"),
        *("-e", "trace=fdatasync", "-e", f"inject=fdatasync:{injection}"),
        *(sys.executable, "-c", _APPEND, str(path)),
    ]
    output = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, timeout=120, check=True
    ).stdout
    answer: list[list[str]] = json.loads(output)
    return answer


def test_one_failed_sync_costs_one_batch(tmp_path: Path) -> None:
    path = tmp_path / "events.lmdb"
    acknowledged, failed, readable = append_under(path, "error=EIO:when=3")
    assert len(failed) == 1
    assert len(acknowledged) == 7
    assert readable == acknowledged


def test_a_disk_that_never_syncs_again_acknowledges_nothing_more(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.lmdb"
    acknowledged, failed, readable = append_under(path, "error=EIO:when=4+")
    assert acknowledged == ["e0", "e1", "e2"]
    assert failed == ["e3", "e4", "e5", "e6", "e7"]
    assert readable == acknowledged
    log = LmdbEventLog(path)
    assert [event.event_id for event in log.read(0, 100)] == acknowledged
    log.close()


def test_a_slow_disk_makes_appends_wait_and_loses_none(tmp_path: Path) -> None:
    path = tmp_path / "events.lmdb"
    acknowledged, failed, _ = append_under(path, "delay_enter=20000")
    assert (len(acknowledged), failed) == (8, [])
