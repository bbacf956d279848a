"""Makes ready what the demo serves: data set, trained release, published release."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

from commands import publish, train
from demo.phases import PhaseTimer
from project_state import ProjectState
from stepwell.base.errors import FailedPreconditionError, UnavailableError
from stepwell.index.ann_index import HnswIndex
from stepwell.releases.delta import chain_of
from stepwell.releases.live_release import live_release
from stepwell.releases.manifest import Manifest, parse_manifest, release_id_of
from stepwell.releases.source import DirectorySource
from stepwell.releases.verification import check_feature_service, read_manifest
from stepwell.retrieval.artifacts import INDEX_FILE
from stepwell.training.datasets import prepare
from stepwell.training.training_config import QUICK

MOVIELENS = "movielens-100k"
_MOVIELENS_WHEEL = "recbole==1.2.1"
TIERS = ("full", "reduced", "popular")

QualityReport = dict[str, dict[str, Any]]


class Preparation:
    """Runs the phases "data", "train" and "publish", each only where it is needed.

    Args:
        state: the folders of the data set.
        preset: of PRESETS, that the release must be of; None takes any, and trains
            the quick one where there is none.
        timer: times the phases that ran.
        console: where to say what happens.
    """

    def __init__(
        self,
        state: ProjectState,
        preset: str | None,
        timer: PhaseTimer,
        console: Console,
    ) -> None:
        self._state = state
        self._preset = preset
        self._timer = timer
        self._console = console

    def ready(self, retrain: bool) -> QualityReport:
        """Returns the quality of the live release, made now if there is none.

        Keys: the tiers, "popular_cached" (POPULAR while the user's own slate is fresh)
        and "full_diverse" (FULL re-ranked for diversity, as it is served).

        Raises:
            StepwellError: a phase failed; the text says which file or command.
        """
        state = self._state
        with self._timer.phase("data", f"{state.data} into {state.dataset}"):
            self._prepare_data()
        if retrain or not self._has_release():
            preset = self._preset or QUICK.preset
            with self._timer.phase("train", f"preset {preset}"):
                folders = ("--data", str(state.dataset), "--out", str(state.training))
                self._run(train, *folders, "--preset", preset)
            with self._timer.phase("publish", f"signed, into {state.registry}"):
                self._run(publish, "--data", state.data)
        card = _model_card(state)
        missing = [tier for tier in TIERS if tier not in card["quality"]]
        if missing:
            raise FailedPreconditionError(
                f"the release of {state.registry} was not scored for {missing}; "
                "run: ./stepwell demo --retrain"
            )
        return dict(card["quality"])

    def _has_release(self) -> bool:
        """Whether a release is there that this version reads, of the preset asked."""
        if not DirectorySource(self._state.registry).versions():
            return False
        try:
            check_feature_service(_manifest(self._state))
            HnswIndex.open(_file(self._state, INDEX_FILE))
        except FailedPreconditionError as error:
            self._console.print(f"the release is of another version: {error}")
            return False
        there = _model_card(self._state).get("preset")
        if self._preset not in (None, there):
            self._console.print(f"the release is of preset {there or 'unknown'}")
            return False
        return True

    def _prepare_data(self) -> None:
        dataset = self._state.dataset
        if self._state.data == MOVIELENS and not (dataset / "dataset.json").exists():
            dataset.mkdir(parents=True, exist_ok=True)
            _download_wheel(_MOVIELENS_WHEEL, dataset)
        info = prepare(self._state.data, dataset)
        self._console.print(f"[dim]{info.source}. {info.notice}[/dim]")

    def _run(self, command: ModuleType, *argv: str) -> None:
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        status = command.run(parser.parse_args(argv))
        if status:
            name = command.__name__.rsplit(".", 1)[-1]
            raise FailedPreconditionError(f"{name} failed with exit status {status}")


def data_watermark(state: ProjectState) -> int:
    """Returns the event time up to which the live release saw data, unix seconds."""
    return _manifest(state).metadata.data_watermark_seconds


def _manifest(state: ProjectState) -> Manifest:
    return parse_manifest(read_manifest(_live(state)))


def _model_card(state: ProjectState) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(_file(state, "model_card.json").read_text())
    return card


def _file(state: ProjectState, name: str) -> Path:
    """Returns a file of the live release; where that is a delta, of its bases."""
    live = _live(state)
    bases = [live.with_name(release_id_of(serial)) for serial in chain_of(live)]
    found = (folder / name for folder in (live, *bases) if (folder / name).exists())
    return next(found, live / name)


def _live(state: ProjectState) -> Path:
    release = live_release(state.registry)
    if release is None:
        raise FailedPreconditionError(f"{state.registry} holds no release")
    return release.directory


def _download_wheel(requirement: str, folder: Path) -> None:
    """Downloads one wheel without installing it.

    Raises:
        UnavailableError: pip could not; says what it said last.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise UnavailableError(f"pip download {requirement}: {said[-1]}")
