"""`./stepwell features audit` over what a real ranker answered."""

import argparse
import json
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from commands import features
from integration.small_project import SmallProject
from server_process import server_process
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Event, EventType, Tier
from stepwell.feedback.user_state_file import USER_STATE_NAME
from stepwell.schema.feature_registry import USER_ACTIVITY
from stepwell.schema.feature_row import FeatureRow
from stepwell.stores.event_log import EventRecord, StoredEvent
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import feedback_pb2

OPTIONS = ClientOptions(deadline_ms=20_000)
NUM_USERS = 30
CHANGED = "purchase_decayed_7d"


@pytest.fixture(scope="module")
def log_folder(project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of a ranker that answered while events came in."""
    folder = tmp_path_factory.mktemp("audit")
    with (
        server_process("ranker_main", project.logging_flags(folder)) as server,
        RecommendClient(server.address, OPTIONS) as client,
    ):
        for number, user_id in enumerate([*project.user_ids[:NUM_USERS], "newcomer"]):
            slate = client.recommend(user_id, num_items=10, forced_tier=Tier.FULL)
            shown = [item.item_id for item in slate.items]
            bought = [
                Event(f"e{number}-{n}", user_id, item, EventType.PURCHASE)
                for n, item in enumerate(shown[:3])
            ]
            client.log_events(bought)
            client.recommend(user_id, num_items=10, forced_tier=Tier.REDUCED)
        # An impression is written after its answer; once drained, all are on disk.
        assert server.terminate() == 0
    return folder / "events.lmdb"


def audit(project: SmallProject, log: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    features.add_arguments(parser)
    fixed = [
        f"--registry={project.state.registry}",
        f"--user-state={project.state.training / USER_STATE_NAME}",
        f"--event-log={log}",
    ]
    return features.run(parser.parse_args(["audit", *fixed, *words]))


def test_what_was_served_is_what_the_log_makes_and_is_drawn(
    project: SmallProject,
    log_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert audit(project, log_folder, "--json", f"--plot={tmp_path}") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["is_clean"] is True
    assert said["num_sampled"] == 2 * (NUM_USERS + 1)
    for view in ("user_history", "user_activity", "user_profile", "item_activity"):
        assert said["views"][view]["num_served"] > NUM_USERS, view
        assert said["views"][view]["num_different"] == 0, view
    # The newcomer's first answer had no rows, and the log knew none.
    assert said["views"]["user_activity"]["num_defaulted"] == 1
    assert said["views"]["user_activity"]["num_defaulted_known"] == 0
    assert said["num_vectors"] > 10 * NUM_USERS
    assert said["num_vectors_unexplained"] == 0
    assert len(said["shift"]["psi"]) == len(said["vectors"])
    assert said["shift"]["num_requests"] == said["num_sampled"]
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert {"skew_ages.svg", "skew_shift.svg"} <= set(drawn)
    for name in drawn:
        ElementTree.parse(tmp_path / name)


def test_a_row_that_the_log_does_not_make_is_named_with_its_feature(
    project: SmallProject,
    log_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy_of(log_folder, tmp_path / "events.lmdb")
    assert audit(project, tmp_path / "events.lmdb", "--json") == 1
    said = json.loads(capsys.readouterr().out)
    different = {
        name: found for name, found in said["rows"].items() if found["share_different"]
    }
    assert list(different) == [f"user_activity:{CHANGED}"]
    assert different[f"user_activity:{CHANGED}"]["max_difference"] == 0.5
    assert said["views"]["user_activity"]["num_different"] == 1
    assert audit(project, tmp_path / "events.lmdb") == 1
    assert f"user_activity:{CHANGED}" in capsys.readouterr().out


def test_what_cannot_be_recomputed_is_no_pass(
    project: SmallProject,
    log_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with closing(LmdbEventLog(tmp_path / "empty.lmdb")):
        pass
    assert audit(project, tmp_path / "empty.lmdb") == 1
    assert "--replayable_share" in capsys.readouterr().out
    assert audit(project, log_folder, "--release=v000009") == 1
    assert "no release v000009" in capsys.readouterr().err


def copy_of(source: Path, target: Path) -> None:
    """Copies a log; the first row of user_activity in it is another one's."""
    with closing(LmdbEventLog(source)) as log, closing(LmdbEventLog(target)) as copy:
        changed = False
        for line in log.read(0, 10_000):
            payload = line.payload
            if not changed:
                payload, changed = _changed(line)
            copy.append([EventRecord(line.event_id, payload)])
        assert changed


def _changed(line: StoredEvent) -> tuple[bytes, bool]:
    logged = feedback_pb2.LoggedEvent.FromString(line.payload)
    for stored in logged.impression.replay.rows:
        if stored.view == USER_ACTIVITY.name and stored.HasField("row"):
            row = FeatureRow.unpack(USER_ACTIVITY, stored.row)
            values: Any = row.values.copy()
            values[CHANGED] += 0.5
            stored.row = FeatureRow.of(
                USER_ACTIVITY, values, row.event_timestamp, row.written_at_us
            ).pack()
            return logged.SerializeToString(), True
    return line.payload, False
