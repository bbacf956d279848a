"""Random rankers of benchmark `serving`: it is their shapes that are measured."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bench.serving_spec import (
    ITEM_DENSE,
    SEED,
    USER_DENSE,
    ReleaseSpec,
    catalogue,
    number_of,
)
from stepwell.features.catalogue import SEGMENT_FEATURE
from stepwell.models.dlrm import Dlrm
from stepwell.models.ranker_config import (
    DenseColumn,
    ModelConfig,
    Objective,
    RankerConfig,
    SparseColumn,
)
from stepwell.models.ranker_file import (
    FULL_RANKER_NAME,
    REDUCED_RANKER_NAME,
    save_weights,
)
from stepwell.models.reduced_ranker import ReducedRanker

_REDUCED_COLUMNS = 1
_TABLE_SCALE = 0.35

Columns = dict[str, npt.NDArray[Any]]


def save_rankers(folder: Path, spec: ReleaseSpec, columns: Columns) -> None:
    """Writes both rankers and their configuration into a folder of artifacts."""
    config = _ranker_config(spec, columns)
    config.save(folder)
    torch.manual_seed(SEED)
    full, reduced = Dlrm(config.full), ReducedRanker(config.reduced)
    _spread(full)
    save_weights(full, folder / FULL_RANKER_NAME)
    save_weights(reduced, folder / REDUCED_RANKER_NAME)


def _spread(full: Dlrm) -> None:
    """Draws weights by which items differ, as trained ones do: logits of about 1."""
    for layer in full.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    with torch.no_grad():
        full.output.weight.mul_(0.5)
        for table in full.tables:
            # Dots of two rows are then of about 1.
            table.mul_(_TABLE_SCALE / table[1:].std())


def _ranker_config(spec: ReleaseSpec, columns: Columns) -> RankerConfig:
    features = catalogue(spec)
    transforms = {feature.name: feature.transform for feature in features.dense}
    wanted = (*USER_DENSE, *ITEM_DENSE)
    dense = tuple(_dense_column(name, transforms[name], columns) for name in wanted)
    sparse = tuple(
        SparseColumn(name, spec.num_rows)
        for name in (*spec.category_names, SEGMENT_FEATURE)
    )
    goals = (Objective("purchase", 1.0),)
    few = sparse[:_REDUCED_COLUMNS]
    return RankerConfig(
        affinity_columns=features.affinity_columns,
        embedded_columns=features.embedded_columns,
        feature_schema_hash=features.schema_hash(),
        full=ModelConfig(
            dense, sparse, spec.dim, spec.bottom_widths, spec.top_widths, goals
        ),
        reduced=ModelConfig(dense, few, 4, (48, 24), (), goals),
    )


def _dense_column(name: str, transform: str, columns: Columns) -> DenseColumn:
    """A column with the mean and scale of its values; the user's are rough ones."""
    if name in USER_DENSE:
        return DenseColumn(name, transform, 3.0, 1.0)
    values = columns[number_of(name)].astype(np.float64)
    if transform == "log1p":
        values = np.log1p(values)
    return DenseColumn(name, transform, float(values.mean()), float(values.std()))
