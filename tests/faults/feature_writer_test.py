"""D6: the writer of the features stops; what it wrote grows old and is not used."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from faults.server_page import metric_value
from integration.small_project import SmallProject
from server_process import ServerProcess, server_process
from stepwell.base.metric_names import DEFAULTED_VIEWS, STALE_VIEWS, WRITER_AGE
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Answer, Reason, Tier
from stepwell.feedback.turn import FileTurn
from stepwell.feedback.user_history_updater import packed_watermarks
from stepwell.schema.feature_registry import USER_HISTORY
from stepwell.schema.writer_watermark import WriterWatermark
from stepwell.stores.key_value_store import WATERMARK_VIEW
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore

VIEW = USER_HISTORY.name
WINDOW_S = USER_HISTORY.freshness_seconds


@dataclass(frozen=True)
class System:
    """A ranker whose updater never has its turn."""

    server: ServerProcess
    client: RecommendClient
    project: SmallProject

    def writer_stopped(self, seconds_ago: float) -> None:
        """Leaves in the store what a writer leaves that stopped so long ago."""
        said = WriterWatermark(int((time.time() - seconds_ago) * 1e6), 0)
        with closing(LmdbKeyValueStore(self.project.state.online_store)) as store:
            store.put_many(WATERMARK_VIEW, packed_watermarks(said))

    def asked(self) -> Answer:
        user = self.project.user_ids[0]
        return self.client.recommend(user, explain=True, forced_tier=Tier.FULL)

    def num_counted(self) -> tuple[float, float]:
        """Answers with a default for the view, and those for its age."""
        port = self.server.metrics_port
        return (
            metric_value(port, DEFAULTED_VIEWS, view=VIEW),
            metric_value(port, STALE_VIEWS, view=VIEW, action="default"),
        )


@pytest.fixture
def system(project: SmallProject, tmp_path: Path) -> Iterator[System]:
    turn = FileTurn(tmp_path / "updater.lock")
    assert turn.try_take()
    flags = project.flags(
        f"--updater_lock={tmp_path / 'updater.lock'}", "--apply_wait_ms=0"
    )
    patient = ClientOptions(deadline_ms=20_000)
    with (
        server_process("ranker_main", flags) as server,
        RecommendClient(server.address, patient) as client,
    ):
        yield System(server, client, project)
    turn.give_up()


def _is_of_own_history(answer: Answer) -> bool:
    return any("history" in item.source_ranks for item in answer.items)


def _is_fresh(answer: Answer) -> bool:
    served = answer.served_by
    return (
        _is_of_own_history(answer)
        and Reason.STALE_FEATURES not in served.reasons
        and VIEW not in served.defaulted_features
    )


def test_d6_past_the_window_of_a_dead_writer_the_default_is_used_and_said(
    system: System,
) -> None:
    system.writer_stopped(seconds_ago=0)
    assert _is_fresh(system.asked())

    system.writer_stopped(seconds_ago=WINDOW_S - 60)
    answer = system.asked()
    assert _is_fresh(answer)
    assert answer.served_by.writer_age_ms[VIEW] >= (WINDOW_S - 60) * 1_000
    assert system.num_counted() == (0, 0)

    system.writer_stopped(seconds_ago=WINDOW_S + 1)
    for number in (1, 2):
        answer = system.asked()
        assert not _is_of_own_history(answer)
        assert answer.items
        assert Reason.STALE_FEATURES in answer.served_by.reasons
        assert VIEW in answer.served_by.defaulted_features
        assert answer.served_by.writer_age_ms[VIEW] > WINDOW_S * 1_000
        assert system.num_counted() == (number, number)
    age = metric_value(system.server.metrics_port, WRITER_AGE, view=VIEW)
    assert age > WINDOW_S

    system.writer_stopped(seconds_ago=0)
    assert _is_fresh(system.asked())
    assert system.num_counted() == (2, 2)


def test_d6_a_writer_that_lives_is_never_far_behind(
    project: SmallProject,
) -> None:
    patient = ClientOptions(deadline_ms=20_000)
    with (
        server_process("ranker_main", project.flags()) as server,
        RecommendClient(server.address, patient) as client,
    ):
        answer = client.recommend(project.user_ids[0], explain=True)
        assert _is_fresh(answer)
        # A busy machine may take its time; the window is 600 s.
        assert answer.served_by.writer_age_ms[VIEW] < 60_000
