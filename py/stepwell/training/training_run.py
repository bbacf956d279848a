"""The whole of training: from a folder of data to a release that can be published."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from stepwell.base.errors import FailedPreconditionError
from stepwell.features.baselines import Baselines
from stepwell.features.catalogue import FeatureCatalogue
from stepwell.features.view_features import RANKER_VIEWS
from stepwell.feedback.user_state_file import USER_STATE_NAME, write_user_state
from stepwell.releases.manifest import ReleaseMetadata
from stepwell.retrieval.artifacts import INDEX_FILE, USER_TOWER_FILE, RetrievalArtifacts
from stepwell.schema.events import HISTORY_MODEL, history_config
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.feature_view import WhenStale
from stepwell.schema.vocabulary import VOCABULARY_FILE
from stepwell.training.evaluate import Evaluation
from stepwell.training.event_table import EventTable
from stepwell.training.import_events import ImportOptions, import_events
from stepwell.training.item_columns_export import save_item_columns
from stepwell.training.model_card import TierFigures, write_model_card
from stepwell.training.ranker_training import Rankers
from stepwell.training.retrieval_training import train_on_snapshot
from stepwell.training.rows_as_of import UserRowsAsOf
from stepwell.training.split import Snapshot, snapshot
from stepwell.training.training_config import (
    AFFINITY_PREFERENCE,
    EMBEDDED_PREFERENCE,
    TrainingConfig,
)
from stepwell.training.training_cuts import Cuts, cuts_of, natural_period_days
from stepwell.training.training_run_rankers import RankerWork, trained_rankers

Progress = Callable[[str, float], None]
MeasureTiers = Callable[[Path, Evaluation, Progress], Mapping[str, TierFigures]]
"""(folder of artifacts, held-out time, progress) -> figures by tier: the serving path,
which training may not import, comes in from outside."""

RELEASE_FOLDER = "trained"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run is asked for, beside the config.

    Attributes:
        split: "test", "validation" or "none", see training_cuts.
        import_options: how many rows may be refused.
        measure_tiers: scores the finished artifacts; None leaves the card without
            figures.
        progress: called with a phase's name and its done share.
    """

    split: str = "test"
    import_options: ImportOptions | None = None
    measure_tiers: MeasureTiers | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class TrainedRelease:
    """What a run made: the folder to publish, and the model card's content."""

    folder: Path
    card: dict[str, Any]
    import_lines: tuple[str, ...]


class _Phases:
    """Seconds of each phase, and the way to say how far it is."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._started = time.monotonic()
        self.seconds: dict[str, float] = {}

    def step(self, part: str, share: float) -> None:
        if self._progress is not None:
            self._progress(part, share)

    def done(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self._started, 1)
        self._started = now


def run_training(
    data_dir: Path,
    out_dir: Path,
    config: TrainingConfig,
    options: RunOptions | None = None,
) -> TrainedRelease:
    """Trains a release from a folder of data.

    Imports, cuts time, trains retrieval as of each snapshot and as of the release's
    cut, trains the full ranker on the snapshots' rows, distils the reduced one, writes
    all artifacts into `out_dir`/trained.tmp and renames it to `out_dir`/trained when it
    is whole; user state goes beside it. Checkpoints stay in `out_dir`/checkpoints: the
    same call takes them up.

    Args:
        data_dir: events and optional tables, see import_events.
        out_dir: made when missing.
        config: a preset or your own.
        options: split, evaluation, progress.
    Raises:
        InvalidArgumentError: bad data, or too little of it.
    Cost: quick: minutes for 1.3 M purchases on 2 cores; full: below half an hour.
    """
    options = options or RunOptions()
    phases = _Phases(options.progress)
    phases.step("import", 0.0)
    imported = import_events(data_dir, options.import_options)
    phases.done("import")
    table = imported.table
    period = config.period_days or natural_period_days(data_dir, table)
    cuts = cuts_of(table, options.split, period)
    work_dir = out_dir / "checkpoints"
    work_dir.mkdir(parents=True, exist_ok=True)
    known = snapshot(table, cuts.release_cut)
    artifacts = train_on_snapshot(known, config.retrieval, work_dir, phases.step)
    phases.done("retrieval")
    catalogue = catalogue_of(table)
    work = RankerWork(table, catalogue, cuts, config, work_dir)
    rankers, profile, ranker_facts = trained_rankers(
        work, known, artifacts, phases.step
    )
    phases.done("rankers")
    folder = _written(out_dir, known, artifacts, rankers)
    profile.save(folder)
    tiers: Mapping[str, TierFigures] = {}
    if options.measure_tiers is not None and cuts.evaluation_end > cuts.release_cut:
        held_out = Evaluation.of(known, cuts.evaluation_end, config.max_evaluated_users)
        tiers = options.measure_tiers(folder, held_out, phases.step)
        phases.done("evaluation")
    facts = {
        "preset": config.preset,
        **_facts(known, cuts, options),
        **ranker_facts,
        "seconds": phases.seconds,
    }
    card = write_model_card(folder, tiers, facts)
    return TrainedRelease(_finished(folder), card, tuple(imported.report.lines()))


def catalogue_of(table: EventTable) -> FeatureCatalogue:
    """Returns the features for the category columns that this data has."""
    present = table.item_table.categories
    return FeatureCatalogue(
        affinity_columns=tuple(n for n in AFFINITY_PREFERENCE if n in present)[:4],
        embedded_columns=tuple(n for n in EMBEDDED_PREFERENCE if n in present),
        views=RANKER_VIEWS,
    )


def _written(
    out_dir: Path, known: Snapshot, artifacts: RetrievalArtifacts, rankers: Rankers
) -> Path:
    """Writes every artifact but the card into `trained.tmp`, and the users beside."""
    folder = out_dir / f"{RELEASE_FOLDER}.tmp"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    known.items.save(folder / VOCABULARY_FILE)
    save_item_columns(known, folder)
    artifacts.save(folder)
    rankers.save(folder)
    space = artifacts.space_hash.hex()
    ReleaseMetadata(
        data_watermark_seconds=known.cut_time,
        embedding_space_hash=space,
        feature_schema_hash=rankers.config.feature_schema_hash,
        embedding_spaces={INDEX_FILE: space, USER_TOWER_FILE: space},
        models=_model_facts(known, rankers),
    ).save(folder)
    _write_users(out_dir / USER_STATE_NAME, folder, known)
    return folder


def _write_users(user_state: Path, folder: Path, known: Snapshot) -> None:
    """Writes every user's rows, and in the folder what is typical of each segment."""
    table, rows = known.table, UserRowsAsOf(known)
    typical: list[tuple[int, list[FeatureRow]]] = []

    def users() -> Iterator[tuple[str, list[FeatureRow]]]:
        for user in np.flatnonzero(known.num_user_events > 0).tolist():
            found = rows.rows_of(user)
            kept = [row for row in found if row.view.when_stale is WhenStale.BASELINE]
            typical.append((int(table.user_segments[user]), kept))
            yield table.users.id_of_row(user), found

    write_user_state(user_state, users())
    Baselines.of_users(typical, len(table.segment_names)).save(folder)


def _model_facts(known: Snapshot, rankers: Rankers) -> dict[str, JsonValue]:
    facts: dict[str, JsonValue] = {
        name: {"num_dense": len(model.dense), "num_sparse": len(model.sparse)}
        for name, model in (
            ("full", rankers.config.full),
            ("reduced", rankers.config.reduced),
        )
    }
    # Serving folds these into user state, and no others: no skew by construction.
    held = np.unique(known.table.types).tolist()
    return {**facts, HISTORY_MODEL: history_config(held)}


def _finished(folder: Path) -> Path:
    """Takes the .tmp off a folder that is whole; an older one gives way.

    Raises:
        FailedPreconditionError: something else than a folder is in the way.
    """
    target = folder.with_suffix("")
    if target.is_file():
        raise FailedPreconditionError(f"{target} is a file, a folder is to go there")
    if target.exists():
        shutil.rmtree(target)
    folder.rename(target)
    return target


def _facts(known: Snapshot, cuts: Cuts, options: RunOptions) -> dict[str, Any]:
    return {
        "split": options.split,
        "cuts": asdict(cuts),
        "num_events": len(known.times),
        "num_items": known.num_items,
        "num_users": int((known.num_user_events > 0).sum()),
    }
