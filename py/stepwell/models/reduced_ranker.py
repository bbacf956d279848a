"""The reduced ranker: one small MLP, distilled from the full one."""

import torch
from torch import Tensor, nn

from stepwell.models.ranker_config import ModelConfig
from stepwell.models.ranker_inputs import (
    DenseInputs,
    embedding_tables,
    mlp,
    one_row_bags,
)
from stepwell.ops.embedding_bag_tables import embedding_bag_tables


class ReducedRanker(nn.Module):
    """A few dense features beside small category vectors, one MLP, no interaction.

    Concurrency: `forward` is safe from several threads in evaluation mode.
    Source: distilled after Hinton et al., arXiv:1503.02531; see training.distill.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.inputs = DenseInputs(config)
        self.tables = embedding_tables(config)
        width = len(config.dense) + len(config.sparse) * config.embedding_dim
        widths = (width, *config.bottom_widths, *config.top_widths)
        self.hidden = mlp(widths)
        self.output = nn.Linear(widths[-1], len(config.objectives))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Returns float32 [N, O], the logit of every objective.

        Args:
            dense: float32 [N, F], raw values in the order of `config.dense`.
            sparse: int64 [N, T], rows in the order of `config.sparse`.
        """
        inputs = self.inputs(dense)
        if len(self.tables):
            indices, offsets = one_row_bags(sparse)
            bags = embedding_bag_tables(list(self.tables), indices, offsets)
            inputs = torch.cat([inputs, bags], dim=1)
        logits: Tensor = self.output(self.hidden(inputs))
        return logits
