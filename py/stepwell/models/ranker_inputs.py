"""From raw columns of the catalogue to what a ranker's first layer takes."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from stepwell.base.errors import InvalidArgumentError
from stepwell.models.ranker_config import CLIP, ModelConfig


class DenseInputs(nn.Module):
    """Transforms and standardises raw dense values; its constants travel as buffers."""

    is_log: Tensor
    mean: Tensor
    inverse_scale: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        columns = config.dense
        is_log = [column.transform == "log1p" for column in columns]
        self.register_buffer("is_log", torch.tensor(is_log))
        self.register_buffer("mean", torch.tensor([c.mean for c in columns]))
        inverse = [1.0 / column.scale for column in columns]
        self.register_buffer("inverse_scale", torch.tensor(inverse))

    def forward(self, dense: Tensor) -> Tensor:
        """Returns float32 [N, F] in [-CLIP, CLIP]; non-finite values count as mean."""
        logs = torch.log1p(dense.clamp(min=0.0))
        # A choice by weights 0 and 1: exact where values are finite, no number where
        # one is not, and three times as fast as torch.where.
        values = torch.lerp(dense, logs, self.is_log.to(dense.dtype))
        values = (values - self.mean) * self.inverse_scale
        return torch.nan_to_num(values, 0.0, 0.0, 0.0).clamp(-CLIP, CLIP)


def one_row_bags(sparse: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (indices, offsets) of bags of one row each, table-major.

    Args:
        sparse: int64 [N, T].
    Returns:
        int64 [T * N] and int64 [T * N + 1], as embedding_bag_tables takes them.
    """
    indices = sparse.t().reshape(-1)
    offsets = torch.arange(len(indices) + 1, dtype=torch.int64)
    return indices, offsets


def mlp(widths: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers of these widths with ReLU (and dropout) after each."""
    if len(widths) < 2:
        raise InvalidArgumentError("an MLP needs at least two widths", "widths")
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        # Dropout stands also where it is 0: the weights' names must not depend on it.
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def embedding_tables(config: ModelConfig) -> nn.ParameterList:
    """T small random tables [num_rows, D]; row 0, the unknown category, is zero."""
    tables = []
    for column in config.sparse:
        table = torch.randn(column.num_rows, config.embedding_dim) * 0.02
        table[0] = 0.0
        tables.append(nn.Parameter(table))
    return nn.ParameterList(tables)
