"""The packed full ranker as a module of torch, beside the model it is packed of."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from stepwell.base.errors import InvalidArgumentError
from stepwell.models.dlrm import Dlrm
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import ModelConfig
from stepwell.models.ranker_packing import pack_weights, why_not_fused
from stepwell.models.ranker_weights import RankerWeights
from stepwell.ops.fused_ranker import PackedRanker
from stepwell.ops.rank_candidates import rank_candidates


class FusedDlrm(nn.Module):
    """A `Dlrm` over items that are known when it is frozen; see `pack_weights`.

    Concurrency: safe; nothing changes after `freeze`.
    Cost: memory `record_bytes` an item beside the weights. Time: see BENCHMARKS.md.
    """

    def __init__(self, packed: PackedRanker, num_objectives: int) -> None:
        """For `freeze`, which see."""
        super().__init__()
        self._packed = packed
        self._weights = torch.from_numpy(packed.weights)
        self._plan = torch.from_numpy(packed.plan)
        self._items = torch.from_numpy(packed.items)
        self._num_objectives = num_objectives

    @classmethod
    def freeze(
        cls, dlrm: Dlrm, precision: Precision, item_columns: Mapping[str, Tensor]
    ) -> Self:
        """Packs a trained model and its items; the model is not needed after.

        Args:
            dlrm: float32, all weights finite.
            precision: "bfloat16" or "int8".
            item_columns: int64 [N] by sparse column: each item's row of that table. The
                one column that may be missing is the user's.
        Raises:
            InvalidArgumentError: what `why_not_fused` says, a weight that is not
                finite, or a row out of range.
        """
        state = dlrm.state_dict()
        why = _why_not(dlrm.config, precision, item_columns, state)
        if why:
            raise InvalidArgumentError(f"the ranker cannot be fused: {why}", "dlrm")
        tensors = {name: value.numpy() for name, value in state.items()}
        columns = {name: rows.numpy() for name, rows in item_columns.items()}
        weights = RankerWeights(dlrm.config, tensors)
        packed = pack_weights(weights, precision, columns)
        return cls(packed, len(dlrm.config.objectives))

    def packed(self) -> PackedRanker:
        """Returns what a FusedRanker takes; shares this model's memory."""
        return self._packed

    def forward(
        self, dense: Tensor, item_rows: Tensor, user_rows: Tensor, offsets: Tensor
    ) -> Tensor:
        """Returns float32 [N, O], the logit of every objective.

        Args:
            dense: float32 [N, F], raw values in the order of `config.dense`.
            item_rows: int64 [N], items in the order of `freeze`'s columns.
            user_rows: int64 [R], rows of the user's table; any where there is none.
            offsets: int64 [R + 1], which candidates are of which request.
        """
        return rank_candidates(
            dense.contiguous(),
            item_rows,
            user_rows,
            offsets,
            self._weights,
            self._plan,
            self._items,
            self._num_objectives,
            self._packed.clip,
        )


def _why_not(
    config: ModelConfig,
    precision: Precision,
    item_columns: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
) -> str:
    num_columns = sum(name in item_columns for name in config.sparse_names)
    why = why_not_fused(config, num_columns, precision)
    if why or all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
        return why
    return "a weight is not finite"
