"""A ranker over a registry that it can only copy from: it starts, follows, goes on."""

import shutil
import threading
from pathlib import Path

from integration.small_project import SmallProject
from server_process import server_process
from stepwell.base.clock import SystemClock
from stepwell.base.deadline import Deadline
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.releases.manifest import parse_manifest
from stepwell.releases.publisher import Publisher
from stepwell.releases.rollout import Rollout
from stepwell.releases.signing import SigningKey

PATIENT_US = 60_000_000


def _answered_by(client: RecommendClient, user_id: str, release_id: str) -> bool:
    """Asks until a release answers; False when it does not in time."""
    deadline, pause = Deadline.after_us(SystemClock(), PATIENT_US), threading.Event()
    while not deadline.expired():
        if client.recommend(user_id, 5).served_by.release_id == release_id:
            return True
        pause.wait(0.05)
    return False


def test_a_far_registry_is_followed_and_may_go_away(
    project: SmallProject, tmp_path: Path
) -> None:
    far, cache = tmp_path / "far", tmp_path / "cache"
    shutil.copytree(project.state.registry, far)
    key = SigningKey.load_or_create(project.state.signing_key)
    manifest = parse_manifest((far / "v000001" / "manifest.json").read_bytes())
    flags = project.flags(
        f"--registry=file://{far}",
        f"--registry_cache={cache}",
        f"--event_log={tmp_path / 'events'}",
        "--poll_seconds=0.1",
    )
    user_id, options = project.user_ids[0], ClientOptions(deadline_ms=20_000)
    with (
        server_process("ranker_main", flags) as server,
        RecommendClient(server.address, options) as client,
    ):
        assert _answered_by(client, user_id, "v000001")
        Publisher(far, key).publish(far / "v000001", manifest.metadata)
        assert _answered_by(client, user_id, "v000002")
        Rollout(far, key).rollback()
        assert _answered_by(client, user_id, "v000001")
    shutil.rmtree(far)
    with (
        server_process("ranker_main", flags) as server,
        RecommendClient(server.address, options) as client,
    ):
        assert _answered_by(client, user_id, "v000001")
