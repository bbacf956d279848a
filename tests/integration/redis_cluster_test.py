"""A ranker whose online store is a Redis Cluster: fresh users, with a node less too."""

import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.crc import key_slot

from integration.small_project import SmallProject, make_small_project
from server_process import server_process
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Event, EventType, Tier
from stepwell.feedback.user_state_file import USER_STATE_NAME, UserStateFile
from stepwell.feedback.user_state_import import import_user_state
from stepwell.schema.feature_registry import USER_HISTORY
from stepwell.stores.locations import open_key_value_store
from stepwell.stores.redis_cluster_fixture import RedisCluster, redis_cluster

PATIENT = ClientOptions(deadline_ms=20_000)


@dataclass(frozen=True, slots=True)
class System:
    """A ranker and its store."""

    cluster: RedisCluster
    client: RecommendClient
    user_ids: list[str]

    def users_of_nodes(self) -> list[str]:
        """One user of each node."""
        found = {self.node_of(user): user for user in self.user_ids}
        return [found[number] for number in range(len(self.cluster.nodes))]

    def node_of(self, user: str) -> int:
        """The number of the node that has the user's rows."""
        slot = key_slot(b"{=" + user.encode() + b"}")
        return self.cluster.nodes.index(self.cluster.node_of(slot))

    def is_fresh(self, user: str) -> bool:
        """Whether an answer of the best tier is made with the user's own history."""
        answer = self.client.recommend(user, 10, forced_tier=Tier.FULL)
        assert len(answer.items) == 10
        served = answer.served_by
        defaulted = USER_HISTORY.name in served.defaulted_features
        return served.tier is Tier.FULL and not defaulted


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    return make_small_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def system(project: SmallProject, tmp_path: Path) -> Iterator[System]:
    with redis_cluster(tmp_path / "cluster") as cluster:
        users = UserStateFile.load(project.state.training / USER_STATE_NAME)
        with closing(open_key_value_store(cluster.url)) as store:
            import_user_state(users, store)
        flags = project.flags(f"--store={cluster.url}")
        with (
            server_process("ranker_main", flags) as server,
            RecommendClient(server.address, PATIENT) as client,
        ):
            yield System(cluster, client, project.user_ids)
            assert server.terminate() == 0


def eventually(system: System, users: list[str], fresh: list[bool]) -> None:
    """On a busy machine a read may come too late for its hop, now and then."""
    pause = threading.Event()
    for _ in range(100):
        found = [system.is_fresh(user) for user in users]
        if found == fresh:
            return
        pause.wait(0.1)
    raise AssertionError(f"{found}, not {fresh}")


def test_users_are_fresh_events_take_effect_and_a_lost_node_costs_its_own_users(
    system: System,
) -> None:
    users = system.users_of_nodes()
    eventually(system, [*users, "somebody"], [True, True, True, False])
    # Acknowledged means folded here: --apply_wait_ms.
    event = Event("e", "somebody", "i00000001", EventType.PURCHASE)
    system.client.log_events([event])
    eventually(system, ["somebody"], [True])
    lost = system.cluster.nodes[0].process
    lost.send_signal(signal.SIGKILL)
    lost.wait(timeout=10)
    eventually(system, users, [False, True, True])
