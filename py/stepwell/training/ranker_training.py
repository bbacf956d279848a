"""From rows to the two rankers of a release: what they are made of, and their order."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from stepwell.features.catalogue import SEGMENT_FEATURE, FeatureCatalogue
from stepwell.features.item_columns import ItemColumns
from stepwell.models.dlrm import Dlrm
from stepwell.models.ranker_config import (
    DOT,
    DenseColumn,
    ModelConfig,
    Objective,
    RankerConfig,
    SparseColumn,
)
from stepwell.models.ranker_file import (
    FULL_RANKER_NAME,
    REDUCED_RANKER_NAME,
    save_reduced_weights,
    save_weights,
)
from stepwell.models.reduced_ranker import ReducedRanker
from stepwell.training.ranker_trainer import Progress, RankerTrainer, TrainerOptions
from stepwell.training.ranking_rows import OBJECTIVES, RankingRows

MUTE_SCALE = 1e30
"""The scale of a column that is the same in all rows: no value gets through it."""


@dataclass(frozen=True, slots=True)
class RankerTraining:
    """Options of the full ranker.

    Attributes:
        embedding_dim, bottom_widths, top_widths: of the full ranker.
        interaction, cross_layers, cross_rank: as in ModelConfig.
        dropout: of its bottom MLP.
        objective_weights: of `OBJECTIVES` in the total score.
        trainer: how it is trained.
    """

    embedding_dim: int = 8
    bottom_widths: tuple[int, ...] = (128, 64)
    top_widths: tuple[int, ...] = (64,)
    interaction: str = DOT
    cross_layers: int = 2
    cross_rank: int = 16
    dropout: float = 0.2
    objective_weights: tuple[float, ...] = (1.0, 0.1)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)


@dataclass(frozen=True, slots=True)
class Rankers:
    """The trained models and their config. Concurrency: read-only."""

    config: RankerConfig
    full: Dlrm
    reduced: ReducedRanker

    def save(self, folder: Path) -> None:
        """Writes config and weights into a folder of artifacts."""
        self.config.save(folder)
        save_weights(self.full, folder / FULL_RANKER_NAME)
        save_reduced_weights(self.reduced, folder / REDUCED_RANKER_NAME)


def full_config(
    rows: RankingRows,
    catalogue: FeatureCatalogue,
    items: ItemColumns,
    num_segments: int,
    options: RankerTraining,
) -> ModelConfig:
    """Returns the full ranker's config; means and scales are measured on `rows`."""
    sizes = {**items.category_sizes, SEGMENT_FEATURE: num_segments}
    weights = zip(OBJECTIVES, options.objective_weights, strict=True)
    return ModelConfig(
        dense=dense_columns(rows, catalogue),
        sparse=tuple(SparseColumn(n, sizes[n]) for n in catalogue.sparse_names),
        embedding_dim=options.embedding_dim,
        bottom_widths=options.bottom_widths,
        top_widths=options.top_widths,
        objectives=tuple(Objective(name, weight) for name, weight in weights),
        interaction=options.interaction,
        cross_layers=options.cross_layers,
        cross_rank=options.cross_rank,
    )


def train_full(
    rows: RankingRows,
    config: ModelConfig,
    options: RankerTraining,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> Dlrm:
    """Returns the full ranker trained on labelled rows, in evaluation mode."""
    torch.manual_seed(options.trainer.seed)
    model = Dlrm(config, options.dropout)
    RankerTrainer(model, config, options.trainer, checkpoint).train(rows, progress)
    return model


def dense_columns(
    rows: RankingRows, catalogue: FeatureCatalogue, sample: int = 200_000
) -> tuple[DenseColumn, ...]:
    """Returns every dense feature with mean and scale of its transformed values."""
    step = max(len(rows.dense) // sample, 1)
    values = rows.dense[::step].astype(np.float64)
    columns = []
    for place, feature in enumerate(catalogue.dense):
        mean, scale = _moments(values[:, place], feature.transform)
        columns.append(DenseColumn(feature.name, feature.transform, mean, scale))
    return tuple(columns)


def _moments(values: npt.NDArray[np.float64], transform: str) -> tuple[float, float]:
    if transform == "log1p":
        values = np.log1p(np.maximum(values, 0.0))
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, MUTE_SCALE
    # A constant column has taught nothing, and its weights are as they were drawn: when
    # it moves in serving, as counts of clicks do after data without any, it stays mute.
    scale = float(values.std())
    return float(values.mean()), scale if scale > 1e-6 else MUTE_SCALE


def logits_of(
    model: nn.Module, rows: RankingRows, batch: int = 65_536
) -> npt.NDArray[np.float32]:
    """Returns float32 [R, O], the model's logits, in evaluation mode."""
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows.dense), batch):
            dense = torch.from_numpy(rows.dense[start : start + batch])
            sparse = torch.from_numpy(rows.sparse[start : start + batch])
            parts.append(model(dense, sparse).numpy())
    return np.concatenate(parts)
