"""What a mix of tiers is worth, and the best mix that a machine could have served."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from capacity import Capacity
from load_run import LoadRun
from stepwell.client.types import Tier

TIERS = (Tier.FULL, Tier.REDUCED, Tier.POPULAR)


@dataclass(frozen=True)
class TierValues:
    """What an answer of each tier is worth; only ratios count.

    The defaults are NDCG@10 of the demo's model card. POPULAR is the plain list: a
    user's own last slate, where there is one, is worth more.
    """

    full: float = 0.490
    reduced: float = 0.488
    popular: float = 0.209

    def of(self, tier: Tier) -> float:
        """Returns the value of a tier."""
        return (self.full, self.reduced, self.popular)[TIERS.index(tier)]

    @classmethod
    def of_model_card(cls, quality: Mapping[str, Mapping[str, float]]) -> "TierValues":
        """Returns the values that a release's card states, by way of serving."""
        names = ("full", "reduced", "popular")
        return cls(*(quality[name]["ndcg_at_10"] for name in names))


def utility(run: LoadRun, budget_ms: float, values: TierValues) -> float:
    """Returns the mean value of a run's calls; one not answered in time has none."""
    if not len(run):
        return 0.0
    in_time = run.in_budget(budget_ms)
    total = sum(
        values.of(tier) * float((in_time & (run.tier == tier)).sum()) for tier in TIERS
    )
    return total / len(run)


def best_utility(rate: float, capacity: Capacity, values: TierValues) -> float:
    """Returns the value of a call in the best mix that fits the machine.

    An answer of a tier takes 1 / capacity of a second of the machine. The best mix
    under one such limit is one tier, or two that use the machine up between them.

    Args:
        rate: calls a second.
        capacity: of each tier.
        values: of each tier.
    """
    costs = {tier: rate / capacity.of(tier) for tier in TIERS}
    best = max(values.of(tier) * min(1.0, 1.0 / costs[tier]) for tier in TIERS)
    for dear, cheap in combinations(TIERS, 2):
        if costs[cheap] < 1.0 < costs[dear]:
            share = (1.0 - costs[cheap]) / (costs[dear] - costs[cheap])
            mixed = share * values.of(dear) + (1.0 - share) * values.of(cheap)
            best = max(best, mixed)
    return best
