"""K5: a ranker's disk is full, under its log, its store and its releases; then not."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree

import pytest
from rich.console import Console

from commands.publish import PublishPlan, publish
from faults.cut_disk import memory_disk, why_no_memory_disk
from faults.ladder_choice import answer_as_chosen
from integration.small_project import SmallProject
from project_state import ProjectState
from server_process import ServerProcess, server_process
from stepwell.base.errors import ResourceExhaustedError, StepwellError
from stepwell.client.attempts import ClientOptions
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Event, EventType, Tier
from stepwell.feedback.user_state_file import USER_STATE_NAME
from stepwell.releases.manifest import METADATA_NAME
from stepwell.releases.source import DirectorySource
from stepwell.stores.lmdb_event_log import LmdbEventLog

DISK_BYTES = 96 << 20
NUM_REFUSED = 5
BATCH_EVENTS = 50
MAX_BATCHES = 1_000
READ_EVENTS = 100_000
ONCE = ClientOptions(deadline_ms=20_000, retries=RetryOptions(max_attempts=1))


@dataclass
class System:
    """A ranker that has everything it reads and writes on one small disk."""

    disk: Path
    state: ProjectState
    server: ServerProcess
    client: RecommendClient
    user_id: str
    acknowledged: list[str] = field(default_factory=list)

    @property
    def releases(self) -> DirectorySource:
        """As a server finds them."""
        return DirectorySource(self.state.registry)

    @property
    def _filler(self) -> Path:
        return self.disk / "filler"

    def fill(self) -> None:
        """Leaves not a byte."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    def make_room(self) -> None:
        """Gives back what `fill` took."""
        self._filler.unlink()

    def log_batch(self, number: int) -> None:
        """Logs purchases and remembers them when they were acknowledged."""
        names = [f"kept {number}.{n}" for n in range(BATCH_EVENTS)]
        events = [
            Event(name, self.user_id, "i00000001", EventType.PURCHASE) for name in names
        ]
        self.client.log_events(events)
        self.acknowledged += names

    def assert_serves(self) -> None:
        """A whole answer of the best tier."""
        answer = answer_as_chosen(self.client, self.user_id, 10)
        served = answer.served_by
        assert (served.tier, len(answer.items)) == (Tier.FULL, 10), served

    def publish(self) -> int:
        """Publishes what was trained once more; returns its number."""
        trained = next(self.state.training.glob(f"*/{METADATA_NAME}")).parent
        plan = PublishPlan(
            trained=trained,
            registry=self.state.registry,
            signing_key=self.state.signing_key,
            store=str(self.disk / "users"),
            user_state=self.state.training / USER_STATE_NAME,
        )
        return publish(plan, Console(quiet=True)).serial


@pytest.fixture
def system(project: SmallProject, tmp_path: Path) -> Iterator[System]:
    if why_not := why_no_memory_disk(tmp_path):
        pytest.skip(why_not)
    with memory_disk(tmp_path / "disk", DISK_BYTES) as disk:
        copytree(project.state.root, disk / "project")
        state = ProjectState(disk / "project", project.state.data)
        flags = SmallProject(state).flags("--apply_wait_ms=200")
        with (
            (disk / "server.log").open("wb") as said,
            server_process("ranker_main", flags, said.fileno()) as server,
            RecommendClient(server.address, ONCE) as client,
        ):
            yield System(disk, state, server, client, project.user_ids[0])


def refused_batches(system: System) -> int:
    """Logs until enough was refused; returns how many batches it took."""
    num_refused = 0
    for number in range(1, MAX_BATCHES):
        try:
            system.log_batch(number)
        except ResourceExhaustedError:
            num_refused += 1
        system.assert_serves()
        if num_refused == NUM_REFUSED:
            return number
    raise AssertionError(f"{num_refused} of {MAX_BATCHES} batches were refused")


def assert_kept_once(event_log: Path, acknowledged: list[str]) -> None:
    log = LmdbEventLog(event_log)
    counts = Counter(event.event_id for event in log.read(0, READ_EVENTS))
    log.close()
    assert set(acknowledged) - counts.keys() == set()
    assert set(counts.values()) == {1}


def test_k5_on_a_full_disk_it_serves_refuses_events_and_recovers(
    system: System,
) -> None:
    system.log_batch(0)
    system.assert_serves()
    system.fill()
    last = refused_batches(system)
    with pytest.raises((StepwellError, OSError)):
        system.publish()
    assert [version.serial for version in system.releases.versions()] == [1]
    system.assert_serves()
    system.make_room()
    for number in range(last, last + 5):
        system.log_batch(number)
    system.assert_serves()
    assert system.publish() == 2
    assert system.server.terminate() == 0
    assert_kept_once(system.state.event_log, system.acknowledged)
