"""What a server is told about its answers, as the settings of its engines."""

from collections.abc import Callable
from pathlib import Path

from serving_config import ServingConfig
from stepwell.index.ann_index import AnnIndex
from stepwell.models.precision import Precision
from stepwell.ranking.batcher import BatchingOptions
from stepwell.reranking.policy_filter import PolicyRules
from stepwell.reranking.stage import RerankingOptions
from stepwell.serving.engine_builder import EngineOptions


def engine_options(
    config: ServingConfig,
    policy: Path | None,
    hide_purchased_days: int,
    precision: Precision,
    open_index: Callable[[bytes], AnnIndex] | None = None,
) -> EngineOptions:
    """Returns the settings of every engine of a server, and of who repeats its answers.

    Args:
        config: of the server.
        policy: file of what may be shown; None allows everything.
        hide_purchased_days: 0 shows what was bought.
        precision: of the full ranker's products.
        open_index: as in EngineOptions.
    """
    return EngineOptions(
        planner=config.planner_options(),
        policy=PolicyRules.read(policy) if policy else PolicyRules(),
        reranking=RerankingOptions(
            purchase_window_seconds=hide_purchased_days * 86_400,
            exploration=config.exploration_options(),
        ),
        scorer_precision=precision,
        open_index=open_index,
        batching=BatchingOptions(**config.batching.model_dump(exclude_none=True)),
    )
