"""Scores candidates with a model of the release."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog
import torch
from torch import Tensor, nn

from stepwell.base.deadline import Deadline
from stepwell.models.dlrm import Dlrm
from stepwell.models.packed_dlrm import PackedDlrm
from stepwell.models.packed_mlp import usable_precision
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import ModelConfig, RankerConfig
from stepwell.models.ranker_file import FULL_RANKER_NAME, load_weights
from stepwell.ops.objectives import weigh_objectives
from stepwell.pipeline.query import FeatureBatch, Scores
from stepwell.ranking.columns import selection, split, taken

_log = structlog.get_logger(__name__)


class ModelScorer:
    """Weighted sum of the objectives' probabilities, by any ranker of the models room.

    Args:
        model: in evaluation mode; logits [N, O] of (dense, sparse).
        config: the columns the model takes, and its objectives.
        dense_names, sparse_names: the columns of the FeatureBatch, in its order; the
            model may take any subset of them.

    Raises:
        FailedPreconditionError: the model takes a column that the batch has not.

    Concurrency: safe from several threads; torch's thread count is the process's.
    Cost: about 0.45 ms for 800 candidates with the full ranker on one core.
    """

    def __init__(
        self,
        model: nn.Module,
        config: ModelConfig,
        dense_names: Sequence[str],
        sparse_names: Sequence[str],
    ) -> None:
        self._model = model
        self._names = tuple(objective.name for objective in config.objectives)
        weights = [objective.weight for objective in config.objectives]
        self._weights = np.array(weights, np.float32)
        self._dense = selection("dense", config.dense_names, dense_names)
        self._sparse = selection("sparse", config.sparse_names, sparse_names)

    @classmethod
    def load(
        cls,
        release_dir: Path,
        dense_names: Sequence[str],
        sparse_names: Sequence[str],
        precision: Precision = "float32",
    ) -> "ModelScorer":
        """The full ranker of a release directory, packed for serving.

        Args:
            precision: of the ranker's products. Where the processor does not run it
                natively float32 takes its place, and a line in the log says so.
        Raises:
            DataLossError: the config or the weights are damaged.
            InvalidArgumentError: no such precision.
        """
        config = RankerConfig.load(release_dir).full
        used, why = usable_precision(precision)
        if why:
            _log.info("scorer_precision", wanted=precision, used=used, reason=why)
        model = Dlrm(config)
        load_weights(model, release_dir / FULL_RANKER_NAME)
        packed = PackedDlrm.freeze(model, used)
        return cls(packed, config, dense_names, sparse_names)

    def score(
        self,
        features: FeatureBatch,
        deadline: Deadline | None = None,  # noqa: ARG002 - the protocol's
    ) -> Scores:
        """Returns scores of the N candidates in the order of the features' rows."""
        dense = taken(features.dense, self._dense)
        sparse = taken(features.sparse, self._sparse)
        with torch.inference_mode():
            logits = self._model(torch.from_numpy(dense), torch.from_numpy(sparse))
        return scores_of(logits, self._weights, self._names)

    def score_all(self, batches: Sequence[FeatureBatch]) -> list[Scores]:
        """Returns the scores of several requests, computed together."""
        together = FeatureBatch(
            np.concatenate([batch.dense for batch in batches]),
            np.concatenate([batch.sparse for batch in batches]),
        )
        return split(self.score(together), [len(batch.dense) for batch in batches])


def scores_of(
    logits: Tensor, weights: npt.NDArray[np.float32], names: tuple[str, ...]
) -> Scores:
    """Returns what logits [N, O] say, with the weight of each objective."""
    return Scores(*weigh_objectives(logits.numpy(), weights), names)
