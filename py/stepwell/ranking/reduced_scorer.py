"""The scorer of the REDUCED tier."""

from collections.abc import Sequence
from pathlib import Path

from stepwell.models.ranker_config import RankerConfig
from stepwell.models.ranker_file import REDUCED_RANKER_NAME, load_weights
from stepwell.models.reduced_ranker import ReducedRanker
from stepwell.ranking.model_scorer import ModelScorer


def load_reduced_scorer(
    release_dir: Path, dense_names: Sequence[str], sparse_names: Sequence[str]
) -> ModelScorer:
    """Returns the reduced ranker of a release directory as a scorer.

    Args: as those of ModelScorer.
    Raises:
        DataLossError: the config or the weights are damaged.
        FailedPreconditionError: it takes a column that is not computed.
    Cost of a score: about 0.1 ms for 150 candidates on one core.
    """
    config = RankerConfig.load(release_dir).reduced
    model = ReducedRanker(config)
    load_weights(model, release_dir / REDUCED_RANKER_NAME)
    return ModelScorer(model, config, dense_names, sparse_names)
