"""The full ranker in one call: what an item fixes is looked up, the rest is fused."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import torch
from torch import Tensor, nn

from stepwell.base.errors import InvalidArgumentError
from stepwell.models.dlrm import Dlrm
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import CLIP, DOT, ModelConfig
from stepwell.ops.fused_ranker import PackedRanker
from stepwell.ops.item_records import ItemSums, RecordShape, build_item_records
from stepwell.ops.rank_candidates import rank_candidates
from stepwell.ops.ranker_plan import (
    RankerLayer,
    RankerPlanWriter,
    all_finite,
)

INT8_MIN_WEIGHTS = 1 << 15
"""Smaller matrices are no faster in int8: what rounds their inputs takes as long. 500
candidates through 115 x 512 take 0.06 ms less than in bfloat16."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which sparse columns are an item's, by their places, and which is the user's."""

    item: tuple[int, ...]
    user: int | None

    @classmethod
    def of(cls, config: ModelConfig, item_columns: Mapping[str, Tensor]) -> Self:
        names = config.sparse_names
        item = tuple(t for t, name in enumerate(names) if name in item_columns)
        others = [t for t, name in enumerate(names) if name not in item_columns]
        return cls(item, others[0] if others else None)


def why_not_fused(dlrm: Dlrm, num_item_columns: int, precision: Precision) -> str:
    """Returns what keeps a ranker from `FusedDlrm`, "" when nothing does.

    Args:
        dlrm: the ranker.
        num_item_columns: how many of its sparse columns an item fixes.
        precision: the one asked for.
    """
    config = dlrm.config
    capabilities = torch.cpu.get_capabilities()
    if precision == "float32":
        return "there is no fused float32"
    if config.interaction != DOT:
        return f"the interaction is {config.interaction}"
    if len(config.sparse) - num_item_columns > 1:
        return "more than one sparse column is not the item's"
    if not (capabilities.get("avx512_bf16") and capabilities.get("avx512_vnni")):
        return "the processor has no AVX512-BF16 and AVX512-VNNI"
    if not all_finite([parameter.detach() for parameter in dlrm.parameters()]):
        return "a weight is not finite"
    return ""


def record_bytes(config: ModelConfig, num_item_columns: int) -> int:
    """Returns the bytes that FusedDlrm keeps of each item."""
    top = config.top_widths[0]
    return RecordShape(num_item_columns, config.embedding_dim, top).record_bytes


class FusedDlrm(nn.Module):
    """A `Dlrm` over items that are known when it is frozen.

    Three things are not computed for a candidate: the dots among its own vectors, what
    they add to the first layer above (both are in its record, looked up by its row in
    the release), and the dense vector's way through that layer, which is folded into
    the weights of the last hidden layer before it. The rest runs in one call, a block
    of candidates at a time. "bfloat16" and "int8" mean what they mean in `PackedMlp`,
    but for INT8_MIN_WEIGHTS; records are bfloat16, the last layer is float32.

    Concurrency: safe; nothing changes after `freeze`.
    Cost: memory `record_bytes` an item beside the weights; the tables of item
        categories are not kept. Time: see BENCHMARKS.md.
    """

    def __init__(
        self, weights: Tensor, plan: Tensor, records: Tensor, num_objectives: int
    ) -> None:
        """For `freeze`, which see."""
        super().__init__()
        self._weights, self._plan, self._records = weights, plan, records
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
            InvalidArgumentError: what `why_not_fused` says, or a row out of range.
        """
        columns = _Columns.of(dlrm.config, item_columns)
        why = why_not_fused(dlrm, len(columns.item), precision)
        if why:
            raise InvalidArgumentError(f"the ranker cannot be fused: {why}", "dlrm")
        names = [dlrm.config.sparse_names[place] for place in columns.item]
        with torch.no_grad():
            rows = [item_columns[name].long() for name in names]
            num_items = len(next(iter(item_columns.values()))) if item_columns else 0
            stacked = torch.stack(rows, 1) if rows else torch.zeros(num_items, 0).long()
            parts = _Freezer(dlrm, precision, columns).frozen(stacked)
            return cls(*parts, len(dlrm.config.objectives))

    def packed(self) -> PackedRanker:
        """Returns what a FusedRanker takes; shares this model's memory."""
        return PackedRanker(
            self._weights.numpy(), self._plan.numpy(), self._records.numpy(), CLIP
        )

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
            self._records,
            self._num_objectives,
            CLIP,
        )


class _Freezer:
    """The algebra between a Dlrm's layers and a plan's."""

    def __init__(self, dlrm: Dlrm, precision: Precision, columns: _Columns) -> None:
        self._dlrm, self._precision, self._columns = dlrm, precision, columns
        self._dim = dlrm.config.embedding_dim
        self._hidden = dlrm.config.bottom_widths[-1]
        self._top = _linear(dlrm.top)

    def frozen(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns weights, plan and records."""
        shape = RecordShape(
            len(self._columns.item), self._dim, self._top[0].out_features
        )
        tables = [self._dlrm.tables[place].float() for place in self._columns.item]
        records = build_item_records(tables, rows, self._item_sums(), shape)
        weights, plan = self._plan(shape.record_bytes)
        return weights, plan, records

    def _plan(self, record_bytes: int) -> tuple[Tensor, Tensor]:
        dlrm, writer = self._dlrm, RankerPlanWriter()
        bottom = _linear(dlrm.bottom)
        users = self._users()
        writer.number(bottom[0].in_features, self._dim, len(self._columns.item))
        writer.number(len(users), dlrm.output.out_features)
        writer.number(len(bottom), len(self._top), record_bytes)
        writer.array(dlrm.inputs.is_log.float())
        writer.array(dlrm.inputs.mean.float())
        writer.array(dlrm.inputs.inverse_scale.float())
        writer.array(users)
        writer.output(dlrm.output.weight, dlrm.output.bias)
        for place, layer in enumerate(bottom):
            writer.layer(self._layer(layer.weight, layer.bias, is_signed=place == 0))
        projection = dlrm.projection
        writer.layer(
            RankerLayer(projection.weight, projection.bias, False, False, False)
        )
        weight = self._crossed_weight()
        no_bias = torch.zeros(len(weight))
        writer.layer(self._layer(weight, no_bias, is_signed=True))
        for layer in self._top[1:]:
            writer.layer(self._layer(layer.weight, layer.bias, is_signed=False))
        return writer.finish()

    def _layer(self, weight: Tensor, bias: Tensor, is_signed: bool) -> RankerLayer:
        is_int8 = self._precision == "int8" and weight.numel() >= INT8_MIN_WEIGHTS
        return RankerLayer(weight, bias, True, is_int8, is_signed)

    def _users(self) -> Tensor:
        """float32 [rows, D], no rows without a table of users."""
        place = self._columns.user
        if place is None:
            return torch.zeros(0, self._dim)
        table: Tensor = self._dlrm.tables[place].detach().float()
        return table

    def _vector_weight(self) -> Tensor:
        """[out, D]: of the dense vector in the first layer above the interaction."""
        weight: Tensor = self._top[0].weight
        return weight[:, self._hidden : self._hidden + self._dim]

    def _pair_weight(self, one: int, other: int) -> Tensor:
        """[out]: of the dot of two vectors, 0 the dense one, t + 1 that of table t."""
        high, low = max(one, other), min(one, other)
        place = self._hidden + self._dim + high * (high - 1) // 2 + low
        weight: Tensor = self._top[0].weight
        return weight[:, place]

    def _crossed_weight(self) -> Tensor:
        """[out, crossed], in the order that RankerModel states."""
        projection = self._dlrm.projection
        folded = self._vector_weight() @ projection.weight
        hidden = self._top[0].weight[:, : self._hidden] + folded
        item = [place + 1 for place in self._columns.item]
        columns = [self._pair_weight(vector, 0) for vector in item]
        if self._columns.user is not None:
            user = self._columns.user + 1
            columns += [self._pair_weight(vector, user) for vector in item]
            columns.append(self._pair_weight(user, 0))
        return torch.cat([hidden, *[column[:, None] for column in columns]], 1)

    def _item_sums(self) -> ItemSums:
        item = [place + 1 for place in self._columns.item]
        pairs = sorted(combinations(range(len(item)), 2), key=lambda p: (p[1], p[0]))
        weights = [self._pair_weight(item[high], item[low]) for low, high in pairs]
        bias = self._top[0].bias + self._vector_weight() @ self._dlrm.projection.bias
        num_outputs = self._top[0].out_features
        stacked = torch.stack(weights, 1) if weights else torch.zeros(num_outputs, 0)
        return ItemSums(stacked, bias)


def _linear(layers: nn.Module) -> list[nn.Linear]:
    return [layer for layer in layers.modules() if isinstance(layer, nn.Linear)]
