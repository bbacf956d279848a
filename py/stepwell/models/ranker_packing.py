"""The full ranker packed over known items: what an item fixes is computed once."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
import numpy.typing as npt

from stepwell.models.precision import Precision
from stepwell.models.processor import AVX512_BF16, AVX512_VNNI, processor_flags
from stepwell.models.ranker_config import CLIP, DOT, ModelConfig
from stepwell.models.ranker_weights import FloatArray, LinearWeights, RankerWeights
from stepwell.ops.fused_ranker import PackedRanker
from stepwell.ops.item_records import (
    ItemSums,
    RecordShape,
    RowArray,
    build_item_records,
)
from stepwell.ops.ranker_plan import RankerLayer, RankerPlanWriter

INT8_MIN_WEIGHTS = 1 << 15
"""Smaller matrices are no faster in int8: what rounds their inputs takes as long. 500
candidates through 115 x 512 take 0.06 ms less than in bfloat16."""


def why_not_fused(
    config: ModelConfig, num_item_columns: int, precision: Precision
) -> str:
    """Returns what keeps a ranker from `pack_weights`, "" when nothing does.

    Args:
        config: of the ranker.
        num_item_columns: how many of its sparse columns an item fixes.
        precision: the one asked for.
    """
    if precision == "float32":
        return "there is no fused float32"
    if config.interaction != DOT:
        return f"the interaction is {config.interaction}"
    if len(config.sparse) - num_item_columns > 1:
        return "more than one sparse column is not the item's"
    if not {AVX512_BF16, AVX512_VNNI} <= processor_flags():
        return "the processor has no AVX512-BF16 and AVX512-VNNI"
    return ""


def record_bytes(config: ModelConfig, num_item_columns: int) -> int:
    """Returns the bytes that a packed ranker keeps of each item."""
    top = config.top_widths[0]
    return RecordShape(num_item_columns, config.embedding_dim, top).record_bytes


def pack_weights(
    weights: RankerWeights, precision: Precision, item_columns: Mapping[str, RowArray]
) -> PackedRanker:
    """Returns a ranker packed with its items; shares no memory with the weights.

    Three things are not computed for a candidate: the dots among its own vectors, what
    they add to the first layer above (both are in its record, looked up by its row in
    the release), and the dense vector's way through that layer, which is folded into
    the weights of the last hidden layer before it. "bfloat16" and "int8" mean what they
    mean in `PackedMlp`, but for INT8_MIN_WEIGHTS; records are bfloat16, the last layer
    is float32. The tables of item categories are not kept.

    Args:
        weights: all finite, of a ranker that nothing keeps from this; see
            `why_not_fused`.
        precision: "bfloat16" or "int8".
        item_columns: int [N] by sparse column: each item's row of that table. The one
            column that may be missing is the user's.
    Raises:
        InvalidArgumentError: a row out of range.
    Cost: that of `build_item_records`; memory `record_bytes` an item beside the
        weights.
    """
    columns = _Columns.of(weights.config, item_columns)
    names = [weights.config.sparse_names[place] for place in columns.item]
    num_items = len(next(iter(item_columns.values()))) if item_columns else 0
    rows = [item_columns[name] for name in names]
    stacked = np.stack(rows, 1) if rows else np.zeros((num_items, 0), np.int64)
    return _Packing(weights, precision, columns).packed(stacked)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which sparse columns are an item's, by their places, and which is the user's."""

    item: tuple[int, ...]
    user: int | None

    @classmethod
    def of(cls, config: ModelConfig, item_columns: Mapping[str, RowArray]) -> Self:
        names = config.sparse_names
        item = tuple(t for t, name in enumerate(names) if name in item_columns)
        others = [t for t, name in enumerate(names) if name not in item_columns]
        return cls(item, others[0] if others else None)


class _Packing:
    """The algebra between a Dlrm's layers and a plan's."""

    def __init__(
        self, weights: RankerWeights, precision: Precision, columns: _Columns
    ) -> None:
        self._weights, self._precision, self._columns = weights, precision, columns
        self._dim = weights.config.embedding_dim
        self._hidden = weights.config.bottom_widths[-1]
        self._top = weights.top
        self._projection = weights.linear("projection")

    def packed(self, rows: RowArray) -> PackedRanker:
        places = self._columns.item
        shape = RecordShape(len(places), self._dim, len(self._top[0].bias))
        tables = [self._weights.table(place) for place in places]
        records = build_item_records(tables, rows, self._item_sums(), shape)
        return PackedRanker(*self._plan(shape.record_bytes), records, CLIP)

    def _plan(
        self, record_bytes: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        writer, tensors = RankerPlanWriter(), self._weights.tensors
        bottom, output = self._weights.bottom, self._weights.linear("output")
        users = self._users()
        num_dense = len(self._weights.config.dense)
        writer.number(num_dense, self._dim, len(self._columns.item))
        writer.number(len(users), len(output.bias))
        writer.number(len(bottom), len(self._top), record_bytes)
        writer.array(tensors["inputs.is_log"].astype(np.float32))
        writer.array(tensors["inputs.mean"])
        writer.array(tensors["inputs.inverse_scale"])
        writer.array(users)
        writer.output(output.weight, output.bias)
        for place, layer in enumerate(bottom):
            writer.layer(self._layer(layer, is_signed=place == 0))
        projection = self._projection
        writer.layer(
            RankerLayer(projection.weight, projection.bias, False, False, False)
        )
        writer.layer(self._layer(self._crossed(), is_signed=True))
        for layer in self._top[1:]:
            writer.layer(self._layer(layer, is_signed=False))
        return writer.finish()

    def _layer(self, layer: LinearWeights, is_signed: bool) -> RankerLayer:
        is_int8 = self._precision == "int8" and layer.weight.size >= INT8_MIN_WEIGHTS
        return RankerLayer(layer.weight, layer.bias, True, is_int8, is_signed)

    def _users(self) -> FloatArray:
        """float32 [rows, D], no rows without a table of users."""
        place = self._columns.user
        if place is None:
            return np.zeros((0, self._dim), np.float32)
        return self._weights.table(place)

    def _vector_weight(self) -> FloatArray:
        """[out, D]: of the dense vector in the first layer above the interaction."""
        return self._top[0].weight[:, self._hidden : self._hidden + self._dim]

    def _pair_weight(self, one: int, other: int) -> FloatArray:
        """[out]: of the dot of two vectors, 0 the dense one, t + 1 that of table t."""
        high, low = max(one, other), min(one, other)
        place = self._hidden + self._dim + high * (high - 1) // 2 + low
        return self._top[0].weight[:, place]

    def _crossed(self) -> LinearWeights:
        """[out, crossed], in RankerModel's order; its bias is in the items' sums."""
        folded = self._vector_weight() @ self._projection.weight
        hidden = self._top[0].weight[:, : self._hidden] + folded
        item = [place + 1 for place in self._columns.item]
        columns = [self._pair_weight(vector, 0) for vector in item]
        if self._columns.user is not None:
            user = self._columns.user + 1
            columns += [self._pair_weight(vector, user) for vector in item]
            columns.append(self._pair_weight(user, 0))
        weight = np.column_stack([hidden, *columns])
        return LinearWeights(weight, np.zeros(len(weight), np.float32))

    def _item_sums(self) -> ItemSums:
        item = [place + 1 for place in self._columns.item]
        pairs = sorted(combinations(range(len(item)), 2), key=lambda p: (p[1], p[0]))
        weights = [self._pair_weight(item[high], item[low]) for low, high in pairs]
        bias = self._top[0].bias + self._vector_weight() @ self._projection.bias
        none = np.zeros((len(bias), 0), np.float32)
        return ItemSums(np.column_stack([none, *weights]), bias)
