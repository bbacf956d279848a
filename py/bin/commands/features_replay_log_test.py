"""`./stepwell features replay-log`: what it reads, prints and exits with."""

import argparse
import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from commands import features
from stepwell.base.clock import SystemClock
from stepwell.base.metrics import Metrics
from stepwell.feedback.logged_events import event_record
from stepwell.feedback.user_history_updater import UserHistoryUpdater
from stepwell.feedback.user_state_file import UserStateFile, write_user_state
from stepwell.feedback.user_state_import import import_user_state
from stepwell.schema.history_row import history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import entity_keys
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore
from stepwell_pb.v1 import common_pb2, feedback_pb2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose store began with a trained state and followed a small log."""
    monkeypatch.setenv("STEPWELL_ROOT", str(tmp_path))
    folder = tmp_path / ".stepwell" / "generated"
    (folder / "training").mkdir(parents=True)
    state = folder / "training" / "user_state.safetensors"
    history = UserHistory.from_events(entity_keys(["milk"]), np.array([9]))
    write_user_state(state, [("ann", [history_row(history)])])
    with (
        closing(LmdbEventLog(folder / "events.lmdb")) as log,
        closing(LmdbKeyValueStore(folder / "online.lmdb")) as store,
    ):
        import_user_state(UserStateFile.load(state), store)
        for number in range(20):
            event = feedback_pb2.Event(
                event_id=f"e{number}",
                user_id=["ann", "bob"][number % 2],
                item_id="tea",
                event_type=common_pb2.EVENT_TYPE_PURCHASE,
                event_time_seconds=1_000 * number + 1,
            )
            log.append([event_record(event, number)])
        UserHistoryUpdater(log, store, SystemClock(), Metrics()).catch_up()
    return folder


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    features.add_arguments(parser)
    return features.run(
        parser.parse_args(["replay-log", "--data", "generated", *words])
    )


def test_a_store_that_is_what_the_log_makes_exits_0(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["identical"] is True
    assert (said["num_lines"], said["num_users"], said["num_rows"]) == (20, 2, 4)
    assert run() == 0
    assert "2 with 4 rows, 0 different" in capsys.readouterr().out


def test_what_differs_is_named_and_exits_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A store that had folded clicks only would have no such histories.
    assert run("--history-types", "click") == 1
    assert "user_history of ann" in capsys.readouterr().out


def test_a_word_that_is_no_event_type_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--history-types", "buy") == 1
    assert "'buy', must be one of: impression, click" in capsys.readouterr().err
