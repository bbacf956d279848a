"""Turns a tier into work: beside the ladder the only place that knows tiers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from stepwell.degradation.tier import BEST_FIRST, Tier
from stepwell.degradation.trim import HIGHEST_FIT_PPM
from stepwell.pipeline.overrides import PlanOverrides
from stepwell.pipeline.plan import ExecutionPlan, StageBudgets

MILLION = 1_000_000

_PLAIN_OVERRIDES = (
    *("ef_search", "num_candidates", "diversity_lambda", "freshness_weight"),
)


@dataclass(frozen=True, slots=True)
class StageShares:
    """How stages share a request's budget, in parts per million; sum 1e6."""

    hydrate: int = 100_000
    retrieval: int = 350_000
    features: int = 200_000
    ranking: int = 250_000
    reranking: int = 100_000

    def __post_init__(self) -> None:
        total = sum(getattr(self, name) for name in self.__slots__)
        if total != MILLION:
            raise ValueError(f"stage shares sum to {total}, must be {MILLION}")

    def of(self, budget_us: int) -> StageBudgets:
        """Returns the shares of a budget."""
        return StageBudgets(
            hydrate_us=budget_us * self.hydrate // MILLION,
            retrieval_us=budget_us * self.retrieval // MILLION,
            features_us=budget_us * self.features // MILLION,
            ranking_us=budget_us * self.ranking // MILLION,
            reranking_us=budget_us * self.reranking // MILLION,
        )


@dataclass(frozen=True, slots=True)
class TierShape:
    """The work of one tier; fields as in ExecutionPlan.

    `budget_ppm` is the part of the request's budget that the tier needs when all goes
    well: what must be left for a late request to step down to it.
    """

    scorer: str
    source_limits: Mapping[str, int]
    num_candidates: int
    ef_search: int
    diversity_lambda: float
    budget_ppm: int


FULL_SHAPE = TierShape(
    scorer="full",
    source_limits={
        "history": 250,
        "co_occurrence": 900,
        "ann": 400,
        "trending": 50,
        "popular": 100,
        "new_items": 20,
    },
    # A buyer's own items take some 200 places; what is new to them needs the rest.
    num_candidates=800,
    ef_search=400,
    diversity_lambda=0.1,
    # The ladder plans no request for more. The rest is for whichever stage is late
    # first: a read of the store that waits for a busy machine must not cost the tier.
    budget_ppm=HIGHEST_FIT_PPM,
)

REDUCED_SHAPE = TierShape(
    scorer="reduced",
    source_limits={"history": 100, "co_occurrence": 120, "popular": 60},
    num_candidates=150,
    ef_search=64,
    diversity_lambda=0.0,
    budget_ppm=400_000,
)


@dataclass(frozen=True, slots=True)
class PlannerOptions:
    """The shapes of the tiers that run stages, and the stages' shares of the budget."""

    full: TierShape = FULL_SHAPE
    reduced: TierShape = REDUCED_SHAPE
    shares: StageShares = field(default_factory=StageShares)


class Planner:
    """Makes the plan of one request. Concurrency: immutable. Cost: about 3 us."""

    def __init__(self, options: PlannerOptions | None = None) -> None:
        self._options = options or PlannerOptions()
        self._shapes = {
            Tier.FULL: _frozen(self._options.full),
            Tier.REDUCED: _frozen(self._options.reduced),
        }

    def plan(
        self, tier: Tier, budget_us: int, overrides: PlanOverrides | None = None
    ) -> ExecutionPlan | None:
        """Returns the plan, or None for the tier that runs no stage.

        Args:
            tier: the ladder's decision.
            budget_us: time left of the request's budget.
            overrides: what an experiment changes of the tier FULL.
        """
        shape = self._shapes.get(tier)
        if shape is None:
            return None
        plan = ExecutionPlan(
            scorer=shape.scorer,
            source_limits=shape.source_limits,
            num_candidates=shape.num_candidates,
            ef_search=shape.ef_search,
            diversity_lambda=shape.diversity_lambda,
            budgets=self._options.shares.of(budget_us * shape.budget_ppm // MILLION),
        )
        if overrides is None or tier is not Tier.FULL:
            return plan
        return _overridden(plan, overrides)

    def plans_from(
        self, tier: Tier, budget_us: int, overrides: PlanOverrides | None = None
    ) -> list[tuple[Tier, ExecutionPlan]]:
        """Returns the plans of `tier` and of every lower one that runs stages."""
        plans = [
            (lower, self.plan(lower, budget_us, overrides))
            for lower in BEST_FIRST
            if lower <= tier
        ]
        return [(t, plan) for t, plan in plans if plan is not None]


def _overridden(plan: ExecutionPlan, overrides: PlanOverrides) -> ExecutionPlan:
    plain = {
        name: value
        for name in _PLAIN_OVERRIDES
        if (value := getattr(overrides, name)) is not None
    }
    if overrides.source_limits:
        limits = {**plan.source_limits, **overrides.source_limits}
        # A source that is asked for nothing is not asked.
        plain["source_limits"] = {name: n for name, n in limits.items() if n}
    return replace(plan, **plain)


def _frozen(shape: TierShape) -> TierShape:
    """The shape with limits that plans share."""
    limits = MappingProxyType(dict(shape.source_limits))
    return replace(shape, source_limits=limits)
