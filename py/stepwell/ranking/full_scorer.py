"""The scorer of the FULL tier, in the fastest form that its release allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt
import structlog
import torch

from stepwell.models.dlrm import Dlrm
from stepwell.models.fused_dlrm import FusedDlrm, record_bytes, why_not_fused
from stepwell.models.packed_mlp import usable_precision
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import ModelConfig, RankerConfig
from stepwell.models.ranker_file import FULL_RANKER_NAME, load_weights
from stepwell.ranking.fused_scorer import FusedScorer
from stepwell.ranking.model_scorer import ModelScorer

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FullScorerOptions:
    """How the full ranker is to run.

    Attributes:
        precision: of its products. "float32" is never fused.
        item_columns: int [N] by sparse column: what a release's items fix of the
            model's inputs. With all columns but one (the user's) the ranker is fused.
        max_record_bytes: memory that the items of a fused ranker may take; a catalogue
            that needs more is scored with tables, unfused.
    """

    precision: Precision = "float32"
    item_columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    max_record_bytes: int = 2 << 30


def load_full_scorer(
    release_dir: Path,
    dense_names: Sequence[str],
    sparse_names: Sequence[str],
    options: FullScorerOptions,
) -> ModelScorer | FusedScorer:
    """Returns the full ranker of a release directory as a scorer.

    Where a precision that could be fused cannot be here, a line in the log says why.

    Raises:
        DataLossError: the config or the weights are damaged.
        FailedPreconditionError: it takes a column that is not computed.
        InvalidArgumentError: no such precision, or an item's row is out of its table.
    """
    config = RankerConfig.load(release_dir).full
    used, _ = usable_precision(options.precision)
    columns = {
        name: torch.from_numpy(options.item_columns[name]).long()
        for name in config.sparse_names
        if name in options.item_columns
    }
    why = _too_large(config, columns, options.max_record_bytes)
    if not why and used != "float32":
        model = Dlrm(config)
        load_weights(model, release_dir / FULL_RANKER_NAME)
        why = why_not_fused(model, len(columns), used)
    if why and used != "float32":
        _log.info("scorer_form", form="tables", precision=used, reason=why)
    if why or used == "float32":
        return ModelScorer.load(
            release_dir, dense_names, sparse_names, options.precision
        )
    others = [name for name in config.sparse_names if name not in columns]
    return FusedScorer(
        FusedDlrm.freeze(model.eval(), used, columns),
        config,
        dense_names,
        sparse_names,
        others[0] if others else None,
    )


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
