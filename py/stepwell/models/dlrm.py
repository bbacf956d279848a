"""The full ranker: DLRM or DCN-v2 over dense features and small tables."""

import torch
from torch import Tensor, nn

from stepwell.models.interaction import interaction_of
from stepwell.models.ranker_config import ModelConfig
from stepwell.models.ranker_inputs import (
    DenseInputs,
    embedding_tables,
    mlp,
    one_row_bags,
)
from stepwell.ops.embedding_bag_tables import embedding_bag_tables


class Dlrm(nn.Module):
    """Bottom MLP on dense features, one table a category, interaction, top MLP.

    Args:
        config: columns, widths, interaction and objectives.
        dropout: after each hidden layer of the bottom MLP, in training only.

    Concurrency: `forward` is safe from several threads in evaluation mode.
    Source: Naumov et al., arXiv:1906.00091, with `interaction` "cross" Wang et al.,
    arXiv:2008.13535, in the place of the dots. Differences: the top MLP also sees the
    last hidden layer of the bottom MLP, so that D may be small; item ids have no table,
    they overfit after one epoch.
    """

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        hidden = config.bottom_widths[-1]
        self.inputs = DenseInputs(config)
        self.bottom = mlp((len(config.dense), *config.bottom_widths), dropout)
        self.projection = nn.Linear(hidden, config.embedding_dim)
        self.tables = embedding_tables(config)
        self.interaction = interaction_of(config)
        top = (hidden + self.interaction.width, *config.top_widths)
        self.top = mlp(top)
        self.output = nn.Linear(top[-1], len(config.objectives))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Returns float32 [N, O], the logit of every objective.

        Args:
            dense: float32 [N, F], raw values in the order of `config.dense`.
            sparse: int64 [N, T], rows in the order of `config.sparse`.
        """
        hidden = self.bottom(self.inputs(dense))
        dense_vector = self.projection(hidden)
        crossed = self.interaction(dense_vector, self._embedded(sparse))
        top = self.top(torch.cat([hidden, crossed], dim=1))
        logits: Tensor = self.output(top)
        return logits

    def _embedded(self, sparse: Tensor) -> Tensor:
        num_rows, dim = len(sparse), self.config.embedding_dim
        if not len(self.tables):
            return torch.zeros(num_rows, 0, dim)
        indices, offsets = one_row_bags(sparse)
        bags = embedding_bag_tables(list(self.tables), indices, offsets)
        return bags.view(num_rows, len(self.tables), dim)
