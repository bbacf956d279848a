"""K6: a ranker's log cannot be synced, once or until further notice; it serves on."""

import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from integration.small_project import SmallProject
from server_process import ServerProcess, server_process
from stepwell.base.errors import UnavailableError
from stepwell.client.attempts import ClientOptions
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Event, EventType, Tier
from stepwell.stores.lmdb_event_log import LmdbEventLog

BATCH_EVENTS = 3
NUM_BATCHES = 6
NUM_ANSWERS = 5
READ_EVENTS = 100_000
ONCE = ClientOptions(deadline_ms=20_000, retries=RetryOptions(max_attempts=1))
FIRST_SYNC, EVERY_SYNC = ":when=1", ""

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace: apt-get install strace"
)


@dataclass
class System:
    """A ranker whose event log is its own."""

    server: ServerProcess
    client: RecommendClient
    user_id: str
    event_log: Path
    acknowledged: list[str] = field(default_factory=list)

    def log_batch(self, name: str) -> bool:
        """Logs purchases; returns whether they were acknowledged."""
        names = [f"kept {name}.{n}" for n in range(BATCH_EVENTS)]
        events = [
            Event(name, self.user_id, "i00000001", EventType.PURCHASE) for name in names
        ]
        try:
            self.client.log_events(events)
        except UnavailableError:
            return False
        self.acknowledged += names
        return True

    def assert_serves(self) -> None:
        """Whole answers; of the best tier where no probe or stall has another one."""
        answers = [self.client.recommend(self.user_id, 10) for _ in range(NUM_ANSWERS)]
        assert [len(answer.items) for answer in answers] == [10] * NUM_ANSWERS
        assert Tier.FULL in {answer.served_by.tier for answer in answers}

    def stored(self) -> Counter[str]:
        """Ends the server; returns how often each event is in its log."""
        assert self.server.terminate() == 0
        log = LmdbEventLog(self.event_log)
        counts = Counter(event.event_id for event in log.read(0, READ_EVENTS))
        log.close()
        return counts

    @contextmanager
    def failing_syncs(self, which: str) -> Iterator[None]:
        """Answers syncs of the log's file with EIO inside the block."""
        command = ["strace", "-f", "-p", str(self.server.process.pid)]
        command += ["-P", str(self.event_log / "data.mdb"), "-o", "/dev/null"]
        command += ["-e", "trace=fdatasync", "-e", f"inject=fdatasync:error=EIO{which}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            said = strace.stderr.readline()
            try:
                if "attached" not in said:
                    pytest.skip(f"strace may not attach here: {said.strip()}")
                yield
            finally:
                strace.send_signal(signal.SIGINT)
                strace.wait(timeout=30)


@pytest.fixture
def system(project: SmallProject, tmp_path: Path) -> Iterator[System]:
    event_log = tmp_path / "events"
    flags = project.flags(f"--event_log={event_log}")
    with (
        server_process("ranker_main", flags) as server,
        RecommendClient(server.address, ONCE) as client,
    ):
        yield System(server, client, project.user_ids[0], event_log)


def test_k6_one_failed_sync_costs_one_batch_its_acknowledgement(
    system: System,
) -> None:
    system.assert_serves()
    # Behind the slate's own line: what fails next is a batch of ours.
    assert system.log_batch("first")
    with system.failing_syncs(FIRST_SYNC):
        done = [system.log_batch(f"{n}") for n in range(NUM_BATCHES)]
        system.assert_serves()
    assert done == [False] + [True] * (NUM_BATCHES - 1)
    assert system.log_batch("last")
    counts = system.stored()
    assert set(system.acknowledged) - counts.keys() == set()
    assert set(counts.values()) == {1}
    assert "kept 0.0" not in counts


def test_k6_while_no_sync_succeeds_nothing_is_acknowledged_and_it_serves(
    system: System,
) -> None:
    assert system.log_batch("first")
    with system.failing_syncs(EVERY_SYNC):
        for number in range(NUM_BATCHES):
            assert not system.log_batch(f"{number}")
            system.assert_serves()
    # The same events again, as a producer does that heard of no acknowledgement.
    assert all(system.log_batch(f"{number}") for number in range(NUM_BATCHES))
    system.assert_serves()
    counts = system.stored()
    assert set(system.acknowledged) - counts.keys() == set()
    assert set(counts.values()) == {1}
