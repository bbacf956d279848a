"""How much work one request may do: all that a tier means to the stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class StageBudgets:
    """Shares of the budget in microseconds; a stage may not outlive its own."""

    hydrate_us: int
    retrieval_us: int
    features_us: int
    ranking_us: int
    reranking_us: int


@dataclass(frozen=True, slots=True)
class ExecutionPlan:
    """What the planner decided for one request. Concurrency: immutable.

    Attributes:
        scorer: name of the scorer to use, "full" or "reduced".
        source_limits: candidates asked of each source, by name; absent is not asked.
        num_candidates: candidates kept after the merge.
        ef_search: width of the graph search.
        diversity_lambda: MMR's weight of novelty in [0, 1]; 0 switches it off.
        budgets: time shares of the stages.
        freshness_weight: lift of a new item, in standard deviations of the scores;
            None is re-ranking's own setting.
    """

    scorer: str
    source_limits: Mapping[str, int]
    num_candidates: int
    ef_search: int
    diversity_lambda: float
    budgets: StageBudgets
    freshness_weight: float | None = None

    def __post_init__(self) -> None:
        # What is wrapped is somebody's copy already, such as the planner's.
        if not isinstance(self.source_limits, MappingProxyType):
            frozen = MappingProxyType(dict(self.source_limits))
            object.__setattr__(self, "source_limits", frozen)
