"""A ranker whose index is in shards: each loss gives exactly its reason, and ends."""

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from faults.ladder_choice import answer_as_chosen
from integration.small_project import SmallProject
from server_process import ServerProcess, server_process, start
from stepwell.base.clock import SystemClock
from stepwell.base.deadline import Deadline
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Reason, ServedBy, Tier
from stepwell.embeddings.label_shards import LabelShards
from stepwell.index.ann_index import HnswIndex, HnswOptions
from stepwell.index.split import split_index
from stepwell.retrieval.artifacts import INDEX_FILE

SHARDS = LabelShards(2)
PATIENT_US = 30_000_000
HOP_MS = 3_000


@pytest.fixture(scope="module")
def files(project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release's index, cut into shard-0 and shard-1."""
    folder = tmp_path_factory.mktemp("shards")
    index = HnswIndex.open(project.state.registry / "v000001" / INDEX_FILE)
    paths = [folder / f"shard-{number}" for number in range(SHARDS.num_shards)]
    counts = split_index(index, SHARDS.of_labels, paths)
    assert min(counts) > 100
    return folder


class System:
    """A ranker, two processes of shards, and a client."""

    def __init__(self, project: SmallProject, files: Path, stack: ExitStack) -> None:
        self._project, self._files, self._stack = project, files, stack
        self.shards = [self.start_shard(number) for number in range(2)]
        addresses = ",".join(shard.address for shard in self.shards)
        flags = project.flags(
            f"--retrieval_shards={addresses}", f"--retrieval_hop_ms={HOP_MS}"
        )
        self.ranker = stack.enter_context(server_process("ranker_main", flags))
        options = ClientOptions(deadline_ms=20_000)
        client = RecommendClient(self.ranker.address, options)
        self._client = stack.enter_context(client)

    def start_shard(self, number: int, port: int = 0) -> ServerProcess:
        """The process of one shard, killed at the end."""
        arguments = [
            f"--index={self._files / f'shard-{number}'}",
            f"--shard={number}",
            "--num_shards=2",
            f"--port={port}",
        ]
        context = server_process("retrieval_main", arguments)
        return self._stack.enter_context(context)

    def served(self) -> ServedBy:
        """How one request was served that was not sent to another tier on purpose."""
        answer = answer_as_chosen(self._client, self._project.user_ids[0], 10)
        assert len(answer.items) == 10
        return answer.served_by

    def served_until(self, wanted: Callable[[ServedBy], bool]) -> ServedBy:
        """The first answer that is as wanted, or the last one when time is up."""
        deadline = Deadline.after_us(SystemClock(), PATIENT_US)
        while not wanted(served := self.served()) and not deadline.expired():
            pass
        return served


@pytest.fixture
def system(project: SmallProject, files: Path) -> Iterator[System]:
    with ExitStack() as stack:
        yield System(project, files, stack)


def is_whole(served: ServedBy) -> bool:
    return not served.reasons


def assert_whole(served: ServedBy) -> None:
    assert (served.tier, list(served.reasons)) == (Tier.FULL, [])
    assert served.coverage == 1.0
    assert served.index_id


def assert_one_shard_short(served: ServedBy) -> None:
    """Of six sources one has half of its items."""
    assert (served.tier, list(served.reasons)) == (Tier.FULL, [Reason.SHARD_COVERAGE])
    assert served.coverage == pytest.approx(11 / 12, abs=0.02)
    assert served.index_id


def test_a_killed_shard_is_short_of_coverage_until_it_is_back(system: System) -> None:
    assert_whole(system.served())
    lost = system.shards[0]
    lost.kill()
    assert_one_shard_short(system.served())
    system.start_shard(0, lost.port)
    assert_whole(system.served_until(is_whole))
    assert system.ranker.terminate() == 0


def test_a_late_shard_is_short_of_coverage_and_the_answer_is_in_time(
    system: System,
) -> None:
    late = system.shards[1].process
    late.send_signal(signal.SIGSTOP)
    try:
        served = system.served()
        assert_one_shard_short(served)
        # Its own time, not the deadline of the request, is all that it costs.
        assert HOP_MS * 900 < served.stage_us["retrieval"] < 15_000_000
    finally:
        late.send_signal(signal.SIGCONT)
    assert_whole(system.served_until(is_whole))


def test_without_any_shard_other_sources_answer_then_the_breaker_spares_the_wait(
    system: System,
) -> None:
    for shard in system.shards:
        shard.kill()
    first = system.served()
    assert (first.tier, list(first.reasons)) == (Tier.FULL, [Reason.SHARD_COVERAGE])
    assert first.coverage == pytest.approx(5 / 6)
    assert not first.index_id
    spared = system.served_until(lambda one: Reason.BREAKER_INDEX in one.reasons)
    assert list(spared.reasons) == [Reason.BREAKER_INDEX]
    assert spared.tier is Tier.REDUCED
    for number, shard in enumerate(system.shards):
        system.start_shard(number, shard.port)
    assert_whole(system.served_until(is_whole))


def test_a_release_of_another_embedding_space_than_the_shards_is_refused(
    project: SmallProject, files: Path, tmp_path: Path
) -> None:
    index = HnswIndex.open(files / "shard-0")
    options = HnswOptions(metric=index.stats().metric, space_hash=bytes(32))
    ids = index.ids()
    HnswIndex.build(index.vectors(ids), ids, options).save(tmp_path / "index")
    with server_process("retrieval_main", [f"--index={tmp_path / 'index'}"]) as shard:
        flags = project.flags(f"--retrieval_shards={shard.address}")
        process = start("ranker_main", flags, stderr=subprocess.PIPE)
        patience = threading.Timer(60, process.kill)
        patience.start()
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        refusal = next(line for line in lines if b"release refused" in line)
        patience.cancel()
        process.kill()
        process.wait()
        assert f"{shard.address} serves embedding space 0000000000000000" in str(
            refusal
        )
        assert process.stdout is not None
        process.stdout.close()
        process.stderr.close()
