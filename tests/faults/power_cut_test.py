"""K3: the power goes at any moment; what was acknowledged is there, once."""

import os
import random
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from faults.cut_disk import CutDisk, why_no_cut_disk
from faults.load import long_or_short
from stepwell.stores.event_log import StoredEvent
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore

NUM_CUTS = int(long_or_short(50, 6))
WARM_ACKS = 20
LONGEST_LOAD_S = 0.5

# Three threads append batches of one to five events and print what was acknowledged;
# a fourth steps two views of the online store together, as an updater does.
_LOAD = """
import itertools, sys, threading
from pathlib import Path
from stepwell.stores.event_log import EventRecord
from stepwell.stores.key_value_store import Guard
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore

folder, round_ = Path(sys.argv[1]), sys.argv[2]
log = LmdbEventLog(folder / "events", map_size_bytes=48 << 20)
store = LmdbKeyValueStore(folder / "online", map_size_bytes=8 << 20)

def produce(lane):
    for step in itertools.count():
        names = [f"{round_}{lane}{step}.{n}" for n in range(1 + step % 5)]
        log.append([EventRecord(name, name.encode() * 9) for name in names])
        sys.stdout.write("".join(f"{name}\\n" for name in names))
        sys.stdout.flush()

def update():
    (before,) = store.get_many("offset", ["n"])
    while True:
        after = b"%d" % (int(before or 0) + 1)
        rows = {f"u{n}": after for n in range(8)}
        changes = {"offset": {"n": after}, "v": rows}
        store.write_if(Guard("offset", "n", before), changes)
        before = after

for lane in "abc":
    threading.Thread(target=produce, args=(lane,)).start()
threading.Thread(target=update).start()
"""

_READ = """
import sys
from pathlib import Path
from stepwell.stores.lmdb_event_log import LmdbEventLog

for event in LmdbEventLog(Path(sys.argv[1]) / "events").read(0, 100_000):
    print(event.event_id)
"""


@pytest.fixture
def disk(tmp_path: Path) -> CutDisk:
    if why_not := why_no_cut_disk(tmp_path):
        pytest.skip(why_not)
    return CutDisk(tmp_path / "disk.img", tmp_path / "disk")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def acknowledged_until_cut(
    disk: CutDisk, round_: int, load_s: float, wrapped_in: Sequence[str] = ()
) -> list[str]:
    """Runs the load, cuts the power `load_s` after the first acknowledgements."""
    command = [sys.executable, "-c", _LOAD, str(disk.mount_point), f"{round_}"]
    with subprocess.Popen(
        [*wrapped_in, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
    ) as load:
        assert load.stdout is not None
        # Read by a thread from the start: a full pipe would hold the load up.
        output = load.stdout
        is_warm, lines = threading.Event(), []

        def collect() -> None:
            for line in output:
                lines.append(line.decode())
                if len(lines) >= WARM_ACKS:
                    is_warm.set()
            is_warm.set()

        collecting = threading.Thread(target=collect)
        collecting.start()
        is_warm.wait(timeout=60)
        threading.Event().wait(load_s)
        disk.cut()
        load.kill()
        load.wait(timeout=60)
        collecting.join(timeout=60)
    # The last line may have been cut short by the kill.
    return [line.rstrip() for line in lines if line.endswith("\n")]


def stored(disk: CutDisk) -> list[StoredEvent]:
    log = LmdbEventLog(disk.mount_point / "events")
    try:
        return log.read(0, 100_000)
    finally:
        log.close()


def assert_of_one_write(disk: CutDisk) -> int:
    """The online store is as of some earlier write; returns which."""
    store = LmdbKeyValueStore(disk.mount_point / "online")
    try:
        rows = [("offset", "n"), *(("v", f"u{n}") for n in range(8))]
        (blob,) = set(store.get_rows(rows))
        return int(blob or 0)
    finally:
        store.close()


def test_k3_no_acknowledged_event_is_lost_when_the_power_goes(disk: CutDisk) -> None:
    pauses = random.Random(3)
    acknowledged: list[str] = []
    num_steps = 0
    for round_ in range(NUM_CUTS):
        with disk.power():
            load_s = pauses.random() * LONGEST_LOAD_S
            acknowledged += acknowledged_until_cut(disk, round_, load_s)
        with disk.power():
            events = stored(disk)
            num_before, num_steps = num_steps, assert_of_one_write(disk)
        assert num_steps >= num_before
        assert [event.offset for event in events] == list(range(len(events)))
        counts = Counter(event.event_id for event in events)
        assert set(acknowledged) - counts.keys() == set()
        assert set(counts.values()) == {1}
        assert all(e.payload == e.event_id.encode() * 9 for e in events)
    assert len(acknowledged) >= NUM_CUTS * WARM_ACKS
    assert num_steps > 0


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_sync_that_only_says_so_would_be_found_out(disk: CutDisk) -> None:
    lying = [
        *("strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf"),
        *("-e", "trace=fdatasync", "-e", "inject=fdatasync:retval=0"),
    ]
    with disk.power():
        acknowledged = acknowledged_until_cut(disk, 0, LONGEST_LOAD_S, lying)
    assert len(acknowledged) >= WARM_ACKS
    with disk.power():
        # In a process of its own: pages that are not there may end it.
        reader = subprocess.run(
            [sys.executable, "-c", _READ, str(disk.mount_point)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            timeout=60,
            check=False,
        )
    assert reader.returncode or set(acknowledged) - {*reader.stdout.decode().split()}


def test_the_disk_is_mounted_for_nobody_else(disk: CutDisk) -> None:
    with disk.power():
        ours, parents = (
            Path(f"/proc/{pid}/mounts").read_text()
            for pid in (os.getpid(), os.getppid())
        )
    assert str(disk.mount_point) in ours
    assert str(disk.mount_point) not in parents
