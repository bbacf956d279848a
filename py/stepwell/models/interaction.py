"""How the full ranker crosses its vectors: DLRM's dots or DCN-v2's cross network."""

import torch
from torch import Tensor, nn

from stepwell.models.ranker_config import CROSS, ModelConfig
from stepwell.ops.cross_network import cross_network
from stepwell.ops.dot_interaction import dot_interaction, output_dim


class DotInteraction(nn.Module):
    """The dense vector and the dots of all pairs; no weights.

    Source: Naumov et al., arXiv:1906.00091, section 2.1.4.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.width = output_dim(len(config.sparse), config.embedding_dim)

    def forward(self, dense_vector: Tensor, embedded: Tensor) -> Tensor:
        """Returns [N, width] of [N, D] and [N, T, D], in their dtype."""
        return dot_interaction(dense_vector, embedded)


class CrossInteraction(nn.Module):
    """All vectors side by side through `cross_layers` low-rank layers.

    Source: Wang et al., arXiv:2008.13535, eq. 3. Differences: none; what comes after is
    the top MLP, the paper's stacked form.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        layers, rank = config.cross_layers, config.cross_rank
        self.width = (1 + len(config.sparse)) * config.embedding_dim
        # Glorot: a layer adds about as much as goes through, at any width and rank.
        scale = (2.0 / (self.width + rank)) ** 0.5
        self.down = nn.Parameter(torch.randn(layers, self.width, rank) * scale)
        self.up = nn.Parameter(torch.randn(layers, rank, self.width) * scale)
        self.bias = nn.Parameter(torch.zeros(layers, self.width))

    def forward(self, dense_vector: Tensor, embedded: Tensor) -> Tensor:
        """Returns [N, width] of [N, D] and [N, T, D], in their dtype."""
        x = torch.cat([dense_vector, embedded.flatten(1)], dim=1)
        return cross_network(x, self.down, self.up, self.bias)


def interaction_of(config: ModelConfig) -> DotInteraction | CrossInteraction:
    """Returns the interaction that `config` names."""
    if config.interaction == CROSS:
        return CrossInteraction(config)
    return DotInteraction(config)
