"""Packs a release's full ranker into the form that serves; imports no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from stepwell.models.precision import (
    Precision,
    check_precision,
    missing_instructions,
)
from stepwell.models.ranker_config import FULL_RANKER_NAME, ModelConfig, RankerConfig
from stepwell.models.ranker_packing import pack_weights, record_bytes, why_not_fused
from stepwell.models.ranker_weights import RankerWeights
from stepwell.ops.fused_ranker import PackedRanker


def pack_ranker(
    release_dir: Path,
    precision: Precision,
    item_columns: Mapping[str, npt.NDArray[Any]],
    max_record_bytes: int,
) -> tuple[PackedRanker | None, str]:
    """Returns the packed ranker, or None and why it must be served with tables.

    Args: as FullScorerOptions has them. No reason is given for "float32", nor where
        the processor leaves nothing else: that is no choice of a form.
    Raises:
        DataLossError: the config or the weights are damaged. Weights that must be
            served with tables are not looked at.
        InvalidArgumentError: no such precision, or an item's row is out of its table.
    """
    check_precision(precision)
    if precision == "float32" or missing_instructions(precision):
        return None, ""
    config = RankerConfig.load(release_dir).full
    columns = {
        name: item_columns[name] for name in config.sparse_names if name in item_columns
    }
    why = _too_large(config, columns, max_record_bytes)
    why = why or why_not_fused(config, len(columns), precision)
    if why:
        return None, why
    weights = RankerWeights.load(config, release_dir / FULL_RANKER_NAME)
    return pack_weights(weights, precision, columns), ""


def _too_large(
    config: ModelConfig, columns: Mapping[str, npt.NDArray[Any]], most: int
) -> str:
    if not columns:
        return "no sparse column is known to be an item's"
    num_items = len(next(iter(columns.values())))
    needed = num_items * record_bytes(config, len(columns))
    return (
        f"the items need {needed} bytes, the limit is {most}" if needed > most else ""
    )
