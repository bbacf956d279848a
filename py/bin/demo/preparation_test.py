import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from demo import preparation
from demo.phases import PhaseTimer
from demo.preparation import TIERS, Preparation
from project_state import ProjectState
from stepwell.index.ann_index import FlatIndex, HnswIndex
from stepwell.retrieval.artifacts import INDEX_FILE


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectState:
    """A project with a published release; its data are ready."""
    state = ProjectState(tmp_path, "generated")
    release = state.registry / "v000001"
    release.mkdir(parents=True)
    (release / "manifest.json").write_text("{}")
    card: dict[str, Any] = {"quality": {tier: {} for tier in TIERS}}
    (release / "model_card.json").write_text(json.dumps(card))
    HnswIndex.build(np.eye(4, dtype=np.float32), np.arange(4)).save(
        release / INDEX_FILE
    )
    told = SimpleNamespace(source="made here", notice="for tests")
    monkeypatch.setattr(preparation, "prepare", lambda *_: told)
    return state


def _commands_run(state: ProjectState, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the commands that `ready` runs."""
    ran: list[str] = []

    def run(_: Preparation, command: Any, *_argv: str) -> None:
        ran.append(command.__name__)

    monkeypatch.setattr(Preparation, "_run", run)
    console = Console(quiet=True)
    Preparation(state, "quick", PhaseTimer(console), console).ready(retrain=False)
    return ran


def test_a_release_that_this_version_reads_is_taken_as_it_is(
    state: ProjectState, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _commands_run(state, monkeypatch) == []


def test_a_release_that_no_server_would_load_is_trained_anew(
    state: ProjectState, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = state.registry / "v000001" / INDEX_FILE
    # Whole, and no file that a server would load: as one of an older format is.
    FlatIndex.build(np.eye(4, dtype=np.float32), np.arange(4)).save(index)
    assert _commands_run(state, monkeypatch) == ["commands.train", "commands.publish"]
