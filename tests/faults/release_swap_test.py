"""S1 and S4: swaps and rollbacks under load; each answer is of one release alone."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bench.releases_world import ReleaseWorld, release_world
from bench.serving_processes import ServedRelease
from faults.load import load, long_or_short
from generator import At
from integration.small_project import SmallProject
from lanes import Lane, recommend_lane
from stepwell.client.attempts import ClientOptions
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.releases.manifest import release_id_of
from stepwell.serving.item_names import ITEM_NAMES_FILE
from stepwell_pb.v1 import admin_pb2

NUM_SWAPS = int(long_or_short(50, 3))
SWAP_EVERY_S = long_or_short(4.0, 2.5)
RATE = long_or_short(300.0, 40.0)
DEADLINE_MS = 5_000
ONCE = ClientOptions(deadline_ms=DEADLINE_MS, retries=RetryOptions(max_attempts=1))


@pytest.fixture(scope="module", params=["whole", "delta"])
def world(
    project: SmallProject,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ReleaseWorld]:
    folder = tmp_path_factory.mktemp("world")
    state = project.state
    user_state = next(state.training.glob("user_state*"))
    release = state.registry / release_id_of(1)
    served = ServedRelease(state.data, state.registry, release, user_state)
    flags = [f"--delta_cache={folder / 'deltas'}"]
    is_delta = request.param == "delta"
    with release_world(served, folder, is_delta=is_delta, flags=flags) as world:
        yield world


def publish_named(world: ReleaseWorld, number: int) -> None:
    """Publishes releases in which every item is called as its release is."""
    for waiting in range(1, number + 1):
        name_items(world.trained, release_id_of(world.num_published + 1))
        world.publish(waiting)


def name_items(trained: Path, name: str) -> None:
    path = trained / ITEM_NAMES_FILE
    num_items = len(load_file(path)["offsets"]) - 1
    offsets = np.arange(num_items + 1, dtype=np.int64) * len(name)
    blob = np.frombuffer(name.encode() * num_items, np.uint8)
    save_file({"bytes": blob, "offsets": offsets}, path)


class Shopper:
    """Asks one call after the other, from a thread, and keeps what items are called."""

    def __init__(self, address: str, user_ids: list[str]) -> None:
        self.seen: list[tuple[str, frozenset[str]]] = []
        self._address, self._user_ids = address, user_ids
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        with RecommendClient(self._address, ONCE) as client:
            while not self._over.is_set():
                user_id = self._user_ids[len(self.seen) % len(self._user_ids)]
                answer = client.recommend(user_id, 10)
                names = frozenset(item.name for item in answer.items)
                self.seen.append((answer.served_by.release_id, names))

    def __enter__(self) -> "Shopper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def lane_of(project: SmallProject) -> Lane:
    return recommend_lane("all", project.user_ids, deadline_ms=DEADLINE_MS)


def swaps(world: ReleaseWorld) -> list[At]:
    return [At(1.0 + n * SWAP_EVERY_S, world.go_live) for n in range(NUM_SWAPS)]


def test_s1_swaps_under_load_cost_no_call_and_mix_no_answer(
    world: ReleaseWorld, project: SmallProject
) -> None:
    # A run whose generator was starved is run again, with swaps of its own.
    publish_named(world, 3 * NUM_SWAPS)
    seconds = 1.0 + NUM_SWAPS * SWAP_EVERY_S
    address = world.ranker.address
    with Shopper(address, project.user_ids) as shopper:
        run = load(address, lane_of(project), RATE, seconds, swaps(world))
    assert run.ok().all(), run.status_counts()
    releases = {release_id for release_id, _ in shopper.seen}
    assert len(releases) >= NUM_SWAPS
    named = [one for one in shopper.seen if one[0] != release_id_of(1)]
    assert named
    assert all(names == {release_id} for release_id, names in named)


def test_s4_a_rollback_under_load_loads_nothing_and_costs_no_call(
    world: ReleaseWorld, project: SmallProject
) -> None:
    publish_named(world, 1)
    world.go_live()
    newest = states(world)
    moves = [At(1.0 + n / 2, world.go_back_or_forth) for n in range(4)]
    run = load(world.ranker.address, lane_of(project), RATE, 4.0, moves)
    assert run.ok().all(), run.status_counts()
    # What was live before is kept at hand: nothing was loaded, and nothing let go.
    assert states(world) == newest


def states(world: ReleaseWorld) -> list[dict[int, str]]:
    """State of each release, by process."""
    view = world.admin.ListReleases(admin_pb2.ListReleasesRequest())
    assert view.workers
    return [
        {one.serial: one.state for one in worker.view.releases}
        for worker in view.workers
    ]
