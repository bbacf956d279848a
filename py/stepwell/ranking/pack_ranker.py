"""Packs a release's full ranker with torch, into the form that serves without it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from stepwell.models.dlrm import Dlrm
from stepwell.models.fused_dlrm import FusedDlrm, record_bytes, why_not_fused
from stepwell.models.packed_mlp import usable_precision
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import ModelConfig, RankerConfig
from stepwell.models.ranker_file import FULL_RANKER_NAME, load_weights
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
        DataLossError: the config or the weights are damaged.
        InvalidArgumentError: no such precision, or an item's row is out of its table.
    """
    used, _ = usable_precision(precision)
    if used == "float32":
        return None, ""
    config = RankerConfig.load(release_dir).full
    columns = {
        name: torch.from_numpy(item_columns[name]).long()
        for name in config.sparse_names
        if name in item_columns
    }
    why = _too_large(config, columns, max_record_bytes)
    if why:
        return None, why
    model = Dlrm(config)
    load_weights(model, release_dir / FULL_RANKER_NAME)
    why = why_not_fused(model, len(columns), used)
    if why:
        return None, why
    return FusedDlrm.freeze(model.eval(), used, columns).packed(), ""


def _too_large(
    config: ModelConfig, columns: Mapping[str, torch.Tensor], most: int
) -> str:
    if not columns:
        return "no sparse column is known to be an item's"
    num_items = len(next(iter(columns.values())))
    needed = num_items * record_bytes(config, len(columns))
    return (
        f"the items need {needed} bytes, the limit is {most}" if needed > most else ""
    )
