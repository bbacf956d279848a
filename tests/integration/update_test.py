"""New items without training: updated, published as a delta, known to a server."""

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from commands.publish import PublishPlan, publish
from commands.update import UpdatePlan, update
from integration.small_project import SmallProject
from project_state import ProjectState
from registry_command import told
from server_process import server_process
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.training.import_events_report import ImportReport

NEW = tuple(f"new-{number}" for number in range(5))


@pytest.fixture
def own_project(project: SmallProject, tmp_path: Path) -> SmallProject:
    """A copy of the project, for these tests publish into it."""
    state = ProjectState(tmp_path, project.state.data)
    shutil.copytree(project.state.folder, state.folder)
    return SmallProject(state)


def _published_update(state: ProjectState, ids: tuple[str, ...]) -> Path:
    """Publishes a delta with new items on the live release; returns its directory."""
    items = state.root / "items.csv"
    items.write_text("item_id,name\n" + "".join(f"{id_},Brand new\n" for id_ in ids))
    plan = UpdatePlan(
        items=items,
        registry=state.registry,
        cache=state.root / "deltas",
        out=state.folder / "updated",
    )
    updated = update(plan, ImportReport())
    assert updated.num_new == len(ids)
    live = max(path.name for path in state.registry.glob("v*"))
    publishing = PublishPlan(
        trained=updated.folder,
        registry=state.registry,
        signing_key=state.signing_key,
        store=str(state.online_store),
        user_state=None,
        base=int(live[1:]),
    )
    published = publish(publishing, Console(quiet=True))
    assert published.stored_bytes is not None
    assert published.stored_bytes < published.total_bytes / 4
    return Path(published.release)


def test_new_items_are_known_to_a_running_server_after_a_delta(
    own_project: SmallProject, tmp_path: Path
) -> None:
    state, socket = own_project.state, tmp_path / "admin.sock"
    flags = own_project.flags(
        f"--delta_cache={tmp_path / 'deltas'}", f"--admin_socket={socket}"
    )
    options = ClientOptions(deadline_ms=20_000)
    user = own_project.user_ids[0]
    with (
        server_process("ranker_main", flags) as server,
        RecommendClient(server.address, options) as client,
    ):
        assert client.rank(user, NEW).unknown_item_ids == NEW
        # The second lies on the first, which is a delta too.
        for ids in (NEW[:3], NEW[3:]):
            release = _published_update(state, ids).name
            heard = told(f"unix:{socket}", state.registry, "a test published")
            assert (heard.live, heard.problems) == (release, ())
        answer = client.rank(user, NEW)
        assert answer.served_by.release_id == "v000003"
        assert answer.unknown_item_ids == ()
        assert {item.name for item in answer.items} == {"Brand new"}
        assert len(client.recommend(user, num_items=10).items) == 10
