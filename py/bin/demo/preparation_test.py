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
from stepwell.releases.manifest import MANIFEST_NAME, ReleaseMetadata, parse_manifest
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.retrieval.artifacts import INDEX_FILE


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectState:
    """A project with a published release; its data are ready."""
    state = ProjectState(tmp_path, "generated")
    trained = tmp_path / "trained"
    trained.mkdir()
    quality: dict[str, Any] = {tier: {} for tier in TIERS}
    card = {"preset": "quick", "quality": quality}
    (trained / "model_card.json").write_text(json.dumps(card))
    HnswIndex.build(np.eye(4, dtype=np.float32), np.arange(4)).save(
        trained / INDEX_FILE
    )
    metadata = ReleaseMetadata(
        data_watermark_seconds=0,
        embedding_space_hash="a" * 64,
        feature_schema_hash="b" * 64,
    )
    key = SigningKey.load_or_create(state.signing_key)
    Publisher(state.registry, key).publish(trained, metadata)
    told = SimpleNamespace(source="made here", notice="for tests")
    monkeypatch.setattr(preparation, "prepare", lambda *_: told)
    return state


def _commands_run(
    state: ProjectState, monkeypatch: pytest.MonkeyPatch, preset: str | None = None
) -> list[str]:
    """Names of the commands that `ready` runs."""
    ran: list[str] = []

    def run(_: Preparation, command: Any, *_argv: str) -> None:
        ran.append(command.__name__)

    monkeypatch.setattr(Preparation, "_run", run)
    console = Console(quiet=True)
    Preparation(state, preset, PhaseTimer(console), console).ready(retrain=False)
    return ran


def test_a_release_that_this_version_reads_is_taken_as_it_is(
    state: ProjectState, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _commands_run(state, monkeypatch) == []


@pytest.mark.parametrize(
    ("preset", "commands"),
    [("quick", []), ("full", ["commands.train", "commands.publish"])],
)
def test_a_release_of_another_preset_than_asked_is_trained_anew(
    state: ProjectState,
    monkeypatch: pytest.MonkeyPatch,
    preset: str,
    commands: list[str],
) -> None:
    assert _commands_run(state, monkeypatch, preset) == commands


def test_a_delta_is_taken_as_it_is_too(
    state: ProjectState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trained" / "more").write_bytes(b"one file more")
    metadata = parse_manifest(
        (state.registry / "v000001" / MANIFEST_NAME).read_bytes()
    ).metadata
    key = SigningKey.load_or_create(state.signing_key)
    publisher = Publisher(state.registry, key)
    delta = publisher.publish(tmp_path / "trained", metadata, base=1)
    assert not (delta / INDEX_FILE).exists()
    assert _commands_run(state, monkeypatch) == []


def test_a_release_that_no_server_would_load_is_trained_anew(
    state: ProjectState, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = state.registry / "v000001" / INDEX_FILE
    # Whole, and no file that a server would load: as one of an older format is.
    FlatIndex.build(np.eye(4, dtype=np.float32), np.arange(4)).save(index)
    assert _commands_run(state, monkeypatch) == ["commands.train", "commands.publish"]


def test_a_release_of_before_releases_named_their_features_is_trained_anew(
    state: ProjectState, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = state.registry / "v000001" / MANIFEST_NAME
    manifest = parse_manifest(path.read_bytes())
    older = manifest.model_copy(update={"feature_service_hash": None})
    path.write_bytes(older.to_json())
    assert _commands_run(state, monkeypatch) == ["commands.train", "commands.publish"]
