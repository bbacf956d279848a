"""SIGKILL at any moment: every acknowledged event is there, exactly once."""

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from stepwell.stores.event_log import EventLog
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.stores.redis_event_log import RedisEventLog
from stepwell.stores.redis_server_fixture import redis_server

_ROUNDS = 6
# Three threads append small batches and print each id that was acknowledged. Each id
# is sent by two rounds, as a producer does that never saw its acknowledgement.
_PRODUCER = """
import sys, threading
from pathlib import Path
from stepwell.stores.event_log import EventRecord
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.stores.redis_event_log import RedisEventLog

place, first = sys.argv[1], int(sys.argv[2])
log = RedisEventLog(place) if "://" in place else LmdbEventLog(Path(place))

def produce(lane):
    for step in range(10_000):
        names = [f"{lane}-{first + 3 * step + n}" for n in range(3)]
        offsets = log.append([EventRecord(n, n.encode() * 9) for n in names]).offsets
        acks = zip(names, offsets, strict=True)
        sys.stdout.write("".join(f"{name} {offset}\\n" for name, offset in acks))
        sys.stdout.flush()

for lane in "abc":
    threading.Thread(target=produce, args=(lane,)).start()
"""


def acknowledged_until_killed(
    place: str,
    first: int,
    num_acks: int,
    server: "subprocess.Popen[bytes] | None" = None,
) -> dict[str, int]:
    """Runs a producer, kills it after about `num_acks`; returns id -> offset.

    Args:
        server: killed first, while the producer is still appending.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _PRODUCER, place, str(first)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as producer:
        assert producer.stdout is not None
        lines = [producer.stdout.readline() for _ in range(num_acks)]
        if server is not None:
            server.kill()
            lines += producer.stdout.readlines()
        producer.kill()
        lines += producer.stdout.readlines()
    whole = (line.split() for line in lines if line.endswith(b"\n"))
    return {name.decode(): int(offset) for name, offset in whole}


def assert_all_there_once(log: EventLog, acknowledged: dict[str, int]) -> None:
    stored = log.read(0, 100_000)
    counts = Counter(event.event_id for event in stored)
    assert set(counts.values()) == {1}
    places = {event.event_id: event.offset for event in stored}
    assert acknowledged.items() <= places.items()
    assert [event.offset for event in stored] == list(range(len(stored)))
    for event in stored:
        assert event.payload == event.event_id.encode() * 9


def test_lmdb_keeps_acknowledged_events_when_the_producer_is_killed(
    tmp_path: Path,
) -> None:
    chance = random.Random(11)
    path = tmp_path / "events.lmdb"
    acknowledged: dict[str, int] = {}
    for step in range(_ROUNDS):
        num_acks = chance.randrange(1, 400)
        acknowledged |= acknowledged_until_killed(str(path), step * 60, num_acks)
        log = LmdbEventLog(path)
        assert_all_there_once(log, acknowledged)
        log.close()
    assert len(acknowledged) > _ROUNDS


@pytest.mark.parametrize("victim", ["producer", "server"])
def test_redis_keeps_acknowledged_events_when_either_side_is_killed(
    tmp_path: Path, victim: str
) -> None:
    acknowledged: dict[str, int] = {}
    for step in range(2):
        with redis_server(tmp_path / "redis") as server:
            killed = server.process if victim == "server" else None
            acknowledged |= acknowledged_until_killed(
                server.url, step * 60, 150, killed
            )
    with redis_server(tmp_path / "redis") as server:
        log = RedisEventLog(server.url)
        assert_all_there_once(log, acknowledged)
        log.close()
