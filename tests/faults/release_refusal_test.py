"""S2: bad releases, each refused with its reason; what is live stays."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from faults.bad_releases import (
    BAD_RELEASES,
    PRODUCERS,
    RAN_NAME,
    STRANGERS,
    Bad,
    lone_registry,
    publish_bad,
)
from integration.small_project import SmallProject
from server_process import server_process
from stepwell.base.clock import SystemClock
from stepwell.base.metrics import Metrics
from stepwell.client.attempts import ClientOptions
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.releases.loader import Loader, trusted_key
from stepwell.releases.manager import Manager
from stepwell.releases.manifest import Manifest, release_id_of
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import DirectorySource
from stepwell.releases.state import ReleaseState
from stepwell.serving.engine import Engine
from stepwell.serving.engine_builder import EngineBuilder
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore

GROWTH_BYTES = 64 << 20
"""What a refused release may cost; the bomb would unpack to four times that."""

SEEN_BY_A_SERVER = ("one bit of the index", "a file too many", "weight not finite")
PATIENT = ClientOptions(deadline_ms=20_000, retries=RetryOptions(max_attempts=1))


@dataclass
class Served:
    """A registry with one release, live in this process."""

    release: Path
    key: SigningKey
    manager: Manager[Engine]
    built: list[int]
    last_serial: int = 1

    def offer(self, bad: Bad) -> tuple[ReleaseState, str]:
        """Publishes a bad release; returns what became of it, and why."""
        self.last_serial += 1
        publish_bad(self.release, self.key, bad, self.last_serial)
        self.manager.poll()
        (found,) = (
            status
            for status in self.manager.statuses()
            if status.serial == self.last_serial
        )
        return found.state, found.reason


@pytest.fixture(scope="module")
def served(
    project: SmallProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    release = lone_registry(project.state.registry, folder / "registry")
    store = LmdbKeyValueStore(folder / "online.lmdb")
    builder = EngineBuilder(store, SystemClock(), Metrics())
    built: list[int] = []

    def build(directory: Path, manifest: Manifest) -> Engine:
        built.append(manifest.serial)
        return builder.build(directory, manifest)

    loader = Loader(trusted_key(release.parent), build)
    manager: Manager[Engine] = Manager(DirectorySource(release.parent), loader)
    manager.poll()
    assert manager.live_serial == 1
    key = SigningKey.load_or_create(project.state.signing_key)
    yield Served(release, key, manager, built)
    manager.close()
    store.close()


def test_there_are_thirty_of_them_at_least() -> None:
    assert len({bad.name for bad in BAD_RELEASES}) == len(BAD_RELEASES) >= 30


@pytest.mark.parametrize("bad", BAD_RELEASES, ids=lambda bad: bad.name)
def test_s2_a_bad_release_is_refused_with_its_reason(served: Served, bad: Bad) -> None:
    before = psutil.Process().memory_info().rss
    state, reason = served.offer(bad)
    assert state is ReleaseState.ERROR
    assert bad.says in reason
    assert served.manager.live_serial == 1
    assert psutil.Process().memory_info().rss - before < GROWTH_BYTES
    # Nothing of it was run, and what is not ours was not even opened to be read.
    assert not (served.release.parent / RAN_NAME).exists()
    assert (served.last_serial in served.built) == bad.signed


def test_the_table_is_what_keeps_them_out(served: Served) -> None:
    """The same road with nothing wrong leads to a live release."""
    harmless = Bad("harmless", "", lambda directory: None, signed=True)
    state, reason = served.offer(harmless)
    assert (state, reason) == (ReleaseState.READY, "")
    assert served.manager.live_serial == served.last_serial


def test_s2_a_server_says_what_it_refuses_and_goes_on(
    project: SmallProject, tmp_path: Path
) -> None:
    release = lone_registry(project.state.registry, tmp_path / "registry")
    key = SigningKey.load_or_create(project.state.signing_key)
    chosen = [b for b in STRANGERS + PRODUCERS if b.name in SEEN_BY_A_SERVER]
    flags = project.flags(f"--registry={release.parent}", "--poll_seconds=0.05")
    said = tmp_path / "said"
    with (
        said.open("wb") as file,
        server_process("ranker_main", flags, file.fileno()) as server,
        RecommendClient(server.address, PATIENT) as client,
    ):
        for serial, bad in enumerate(chosen, 2):
            publish_bad(release, key, bad, serial)
            while bad.says not in refusals(said).get(serial, ""):
                answer = client.recommend(project.user_ids[0], 10)
                assert answer.served_by.release_id == release.name
                assert len(answer.items) == 10
        assert server.terminate() == 0
    assert set(refusals(said)) == {2, 3, 4}
    assert not (tmp_path / "registry" / RAN_NAME).exists()
    assert release_id_of(1) == release.name


def refusals(said: Path) -> dict[int, str]:
    """Reasons by serial, as the server's log has them so far."""
    found = {}
    for line in said.read_text().splitlines():
        if '"release refused"' in line:
            entry = json.loads(line)
            found[int(entry["serial"])] = str(entry["reason"])
    return found
