"""What became of the requests of a run, and what that is worth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stepwell.degradation.tier import Tier
from stepwell.simulation.scenario import MILLION, IntArray, Scenario


@dataclass(frozen=True, slots=True)
class Played:
    """The requests of a run in order of their first attempts, all arrays [N].

    Attributes:
        arrived_us: int64, of the first attempt.
        latency_us: int64, from there to the answer or to giving up.
        tier: int8, of the answer; 0 without one.
        num_attempts: int8.
        fit: (microsecond, f) every 100 ms; empty for rivals without one.
    """

    scenario: Scenario
    arrived_us: IntArray
    latency_us: IntArray
    tier: npt.NDArray[np.int8]
    num_attempts: npt.NDArray[np.int8]
    fit: tuple[tuple[int, float], ...] = ()

    def __len__(self) -> int:
        return len(self.arrived_us)

    @property
    def in_budget(self) -> npt.NDArray[np.bool_]:
        """Which were answered within the latency budget."""
        return (self.tier > 0) & (self.latency_us <= self.scenario.latency_budget_us)

    @property
    def in_budget_ratio(self) -> float:
        """The share answered within the budget; 1 without requests."""
        return float(self.in_budget.mean()) if len(self) else 1.0

    @property
    def utility(self) -> float:
        """The sum of the utilities of the answers in time."""
        worth = np.zeros(max(Tier) + 1)
        for tier, value in self.scenario.utility.items():
            worth[tier] = value
        return float(worth[self.tier[self.in_budget]].sum())

    def share(self, tier: Tier) -> float:
        """The share of the requests answered at a tier."""
        return float((self.tier == tier).mean()) if len(self) else 0.0

    @property
    def answered_ratio(self) -> float:
        """The share that got an answer, late or not."""
        return float((self.tier > 0).mean()) if len(self) else 1.0

    def latency_ms(self, quantile: float) -> float:
        """A quantile of the answers' latencies, milliseconds; 0 without answers."""
        answered = self.latency_us[self.tier > 0]
        return float(np.quantile(answered, quantile)) / 1e3 if len(answered) else 0.0

    def tier_changes_a_minute(self) -> float:
        """How often the tier of most answers of a second changed, per minute."""
        most = []
        for _, rows in self.by_second():
            tiers = self.tier[rows]
            if len(tiers):
                most.append(int(np.bincount(tiers, minlength=4).argmax()))
        changes = int(np.count_nonzero(np.diff(most)))
        return changes * 60.0 / max(self.scenario.seconds, 1.0)

    def by_second(self) -> list[tuple[float, slice]]:
        """The requests of each second: (its start, rows)."""
        starts = np.arange(0, int(self.scenario.seconds * MILLION), MILLION)
        edges = np.searchsorted(self.arrived_us, [*starts, starts[-1] + MILLION])
        return [
            (float(start) / MILLION, slice(int(low), int(high)))
            for start, low, high in zip(starts, edges[:-1], edges[1:], strict=True)
        ]
