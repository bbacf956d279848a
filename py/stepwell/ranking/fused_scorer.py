"""Scores candidates with the fused form of the full ranker."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from stepwell.base.deadline import Deadline
from stepwell.base.errors import InvalidArgumentError
from stepwell.models.fused_dlrm import FusedDlrm
from stepwell.models.ranker_config import ModelConfig
from stepwell.ops.fused_ranker import FusedRanker
from stepwell.pipeline.query import FeatureBatch, Scores
from stepwell.ranking.model_scorer import (
    positions_of,
    scores_of,
    selection,
    split,
    taken,
)


class FusedScorer:
    """ModelScorer over a FusedDlrm: finds the items by their rows in the release.

    Args:
        model: frozen with the items of the release.
        config: the columns the model takes, and its objectives.
        dense_names, sparse_names: the columns of the FeatureBatch, in its order.
        user_column: the sparse column of the user, None where the model has none; all
            candidates of one request have the same row there.

    Raises:
        FailedPreconditionError: the model takes a column that the batch has not.

    Concurrency: immutable. Cost: about 0.13 ms for 500 candidates of a small ranker on
    one core; see BENCHMARKS.md for a large one.
    """

    def __init__(
        self,
        model: FusedDlrm,
        config: ModelConfig,
        dense_names: Sequence[str],
        sparse_names: Sequence[str],
        user_column: str | None,
    ) -> None:
        self._model = model
        self._names = tuple(objective.name for objective in config.objectives)
        weights = [objective.weight for objective in config.objectives]
        self._weights = np.array(weights, np.float32)
        self._dense = selection("dense", config.dense_names, dense_names)
        wanted = [] if user_column is None else [user_column]
        self._user = positions_of("sparse", wanted, sparse_names)
        columns = positions_of("dense", config.dense_names, dense_names).tolist()
        self._ranker = FusedRanker(model.packed(), columns, self._weights)

    def score(
        self,
        features: FeatureBatch,
        deadline: Deadline | None = None,  # noqa: ARG002 - the protocol's
    ) -> Scores:
        """Returns scores of the N candidates in the order of the features' rows.

        Raises:
            InvalidArgumentError: the features do not say which items they are of.
        """
        rows, user = _item_rows(features), self._user_row(features)
        return Scores(*self._ranker.score(features.dense, rows, user), self._names)

    def score_all(self, batches: Sequence[FeatureBatch]) -> list[Scores]:
        """Returns the scores of several requests, computed in one call."""
        sizes = [len(batch.dense) for batch in batches]
        dense = np.concatenate([taken(batch.dense, self._dense) for batch in batches])
        rows = np.concatenate([_item_rows(batch) for batch in batches])
        ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return split(self._scored(dense, rows, batches, ends), sizes)

    def _scored(
        self,
        dense: npt.NDArray[np.generic],
        rows: npt.NDArray[np.int64],
        batches: Sequence[FeatureBatch],
        ends: npt.NDArray[np.int64],
    ) -> Scores:
        users = np.array([self._user_row(batch) for batch in batches], np.int64)
        with torch.inference_mode():
            logits = self._model(
                torch.from_numpy(dense),
                torch.from_numpy(rows),
                torch.from_numpy(users),
                torch.from_numpy(ends),
            )
        return scores_of(logits, self._weights, self._names)

    def _user_row(self, features: FeatureBatch) -> int:
        if not len(self._user) or not len(features.sparse):
            return 0
        return int(features.sparse[0, self._user[0]])


def _item_rows(features: FeatureBatch) -> npt.NDArray[np.int64]:
    if features.item_rows is None:
        raise InvalidArgumentError(
            "item_rows is None: items are found by their rows in the release",
            "item_rows",
        )
    return np.ascontiguousarray(features.item_rows)
