"""Trains retrieval's part of a release from a snapshot."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from stepwell.retrieval.artifacts import RetrievalArtifacts
from stepwell.schema.vocabulary import VOCABULARY_FILE
from stepwell.training.build_index import IndexOptions, build_index, export_towers
from stepwell.training.co_occurrence import CoOccurrenceOptions, train_co_occurrence
from stepwell.training.event_table import EventTable
from stepwell.training.item_columns_export import save_item_columns
from stepwell.training.popularity import PopularityOptions, popular_lists
from stepwell.training.split import Snapshot, snapshot
from stepwell.training.two_tower_trainer import (
    TwoTowerOptions,
    TwoTowerTrainer,
    popularity_features,
)

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class RetrievalConfig:
    """Options of retrieval's training, one group a part."""

    co_occurrence: CoOccurrenceOptions = field(default_factory=CoOccurrenceOptions)
    two_tower: TwoTowerOptions = field(default_factory=TwoTowerOptions)
    popularity: PopularityOptions = field(default_factory=PopularityOptions)
    index: IndexOptions = field(default_factory=IndexOptions)


QUICK = RetrievalConfig(two_tower=TwoTowerOptions(num_windows=8))
"""The demo's: about 45 s for 1.3 M purchases on 2 cores."""

FULL = RetrievalConfig(
    two_tower=TwoTowerOptions(num_windows=16, num_negatives=8_192),
    index=IndexOptions(m=32, ef_construction=400),
)
"""The quality bars': about 2 min."""

AS_OF = RetrievalConfig(two_tower=TwoTowerOptions(epochs=0, num_windows=0))
"""For training rows as of an earlier cut: the tower stays where co-occurrence put it.

Sources and scales are those of the other presets, so that a ranker can learn from such
a snapshot; only the trained block of the tower, a tenth of a score, is untrained.
"""

PRESETS = {"quick": QUICK, "full": FULL, "as-of": AS_OF}


def train_retrieval(
    events: EventTable,
    cut_time: int,
    config: RetrievalConfig,
    work_dir: Path,
    progress: Progress | None = None,
) -> RetrievalArtifacts:
    """Returns the artifacts as of a cut; no event at or after it is seen.

    Args:
        events: the imported events.
        cut_time: unix seconds.
        config: a preset or your own.
        work_dir: existing folder for the tower's checkpoint; a second call with the
            same data and config resumes there.
        progress: called with a part's name and its done share, 0..1.
    Raises:
        InvalidArgumentError: nothing before the cut to learn from.
    """
    return train_on_snapshot(snapshot(events, cut_time), config, work_dir, progress)


def save_retrieval(
    known: Snapshot, artifacts: RetrievalArtifacts, folder: Path
) -> None:
    """Writes retrieval's files, the vocabulary and the item columns of a release."""
    known.items.save(folder / VOCABULARY_FILE)
    save_item_columns(known, folder)
    artifacts.save(folder)


def train_on_snapshot(
    known: Snapshot,
    config: RetrievalConfig,
    work_dir: Path,
    progress: Progress | None = None,
) -> RetrievalArtifacts:
    """As `train_retrieval`, on a snapshot that is already there."""
    model, low_rank = train_co_occurrence(known, config.co_occurrence, progress)
    trainer = TwoTowerTrainer(
        known,
        low_rank.start_vectors(),
        config.two_tower,
        work_dir / f"two_tower_{known.cut_time}.safetensors",
    )
    two_tower = trainer.train(progress)
    tower, item_vectors = export_towers(
        two_tower,
        low_rank,
        popularity_features(known),
        known.affinity_matrix(),
        config.index.gain,
    )
    if progress:
        progress("index", 0.0)
    index = build_index(item_vectors, tower.space_hash.tobytes(), config.index)
    if progress:
        progress("index", 1.0)
    lists = popular_lists(known, config.popularity)
    return RetrievalArtifacts(tower, index, model, lists)
