"""The two-tower model as it is trained; UserTower is what serving keeps of it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepwell.models.two_tower_user import FloatArray


@dataclass(frozen=True, slots=True)
class TwoTowerConfig:
    """Shape of the model.

    Attributes:
        num_items: N.
        content_sizes: number of codes of each content column (department, type ...).
        num_popularity: columns of the popularity features.
        dim: D2, length of the trained vectors.
        hidden: M, width of the user's residual layer.
        logit_scale: factor of the cosine between the towers, at the start.
    """

    num_items: int
    content_sizes: tuple[int, ...]
    num_popularity: int
    dim: int = 64
    hidden: int = 128
    logit_scale: float = 8.0


@dataclass(frozen=True, slots=True)
class HistoryBatch:
    """B users' histories, jagged.

    Attributes:
        item_rows: int64 [L], all users' items one after the other.
        offsets: int64 [B], where each user starts.
        weights: float32 [L], affinity weights.
    """

    item_rows: Tensor
    offsets: Tensor
    weights: Tensor


class TwoTower(nn.Module):
    """Users and items in one space; a logit is scaled closeness plus popularity.

    An item is its own vector plus one for each of its content columns, on the user's
    side and on the item's side apart; a user is the weighted sum of the history's items
    at unit length, plus one residual layer, at unit length again. On little data the
    items' own vectors must hardly move from where co-occurrence put them (see
    TwoTowerOptions.item_lr_ratio): free ones memorise the users in one epoch.

    Source: Covington et al., RecSys 2016; Yi et al., RecSys 2019.
    """

    def __init__(
        self,
        config: TwoTowerConfig,
        content: npt.NDArray[np.int64],
        start: FloatArray | None = None,
    ) -> None:
        """Makes the model.

        Args:
            config: the shape.
            content: int64 [N, C], codes of each item's content columns.
            start: float32 [N, D2], items' own vectors at the start; random when None.
        """
        super().__init__()
        self.config = config
        if start is None:
            own = torch.randn(config.num_items, config.dim) * 0.05
        else:
            own = torch.from_numpy(start.astype(np.float32))
        self.item_in = nn.Parameter(own.clone())
        self.item_out = nn.Parameter(own.clone())
        self.content_in = nn.ModuleList(map(self._embedding, config.content_sizes))
        self.content_out = nn.ModuleList(map(self._embedding, config.content_sizes))
        self.hidden = nn.Linear(config.dim, config.hidden)
        self.output = nn.Linear(config.hidden, config.dim)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        weights = torch.full((config.num_popularity,), 1.0 / config.num_popularity)
        self.popularity = nn.Parameter(weights)
        self.logit_scale = nn.Parameter(torch.tensor(config.logit_scale))
        self.register_buffer("content", torch.from_numpy(content.astype(np.int64)))

    def _embedding(self, size: int) -> nn.Embedding:
        embedding = nn.Embedding(size, self.config.dim)
        nn.init.normal_(embedding.weight, std=0.01)
        return embedding

    def own_vectors(self) -> list[nn.Parameter]:
        """The parameters that stand for single items."""
        return [self.item_in, self.item_out]

    def history_vectors(self) -> Tensor:
        """Returns float32 [N, D2], every item as part of a history."""
        return self._with_content(self.item_in, self.content_in, None)

    def candidate_vectors(self, rows: Tensor | None = None) -> Tensor:
        """Returns float32 [C, D2], items as candidates: those of `rows`, or all N."""
        return self._with_content(self.item_out, self.content_out, rows)

    def _with_content(
        self, own: Tensor, tables: nn.ModuleList, rows: Tensor | None
    ) -> Tensor:
        codes = self.get_buffer("content")
        if rows is not None:
            own, codes = own[rows], codes[rows]
        for column, table in enumerate(tables):
            own = own + table(codes[:, column])
        return own

    def users(self, batch: HistoryBatch, history_vectors: Tensor) -> Tensor:
        """Returns float32 [B, D2] of unit length; zero for an empty history."""
        pooled = F.embedding_bag(
            batch.item_rows,
            history_vectors,
            batch.offsets,
            mode="sum",
            per_sample_weights=batch.weights,
        )
        pooled = F.normalize(pooled, dim=1)
        residual = self.output(F.relu(self.hidden(pooled)))
        return F.normalize(pooled + residual, dim=1)

    def logits(self, users: Tensor, candidates: Tensor, popularity: Tensor) -> Tensor:
        """Returns float32 [B, C].

        Args:
            users: float32 [B, D2] of `users`.
            candidates: float32 [C, D2], rows of `candidate_vectors`.
            popularity: float32 [C, P], the candidates' popularity features.
        """
        closeness = users @ candidates.T
        return self.logit_scale * closeness + popularity @ self.popularity
