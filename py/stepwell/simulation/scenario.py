"""What a simulated run is made of: load, server, and what goes wrong when."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from stepwell.degradation.tier import Tier
from stepwell.degradation.tier_policy import TierCost

MILLION = 1_000_000
_CELL_US = 50_000

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TierWork:
    """What a tier costs: a batch of n takes `fixed_us` + n * `item_us`, on average."""

    fixed_us: float
    item_us: float = 0.0

    def mean_us(self, batch_size: int = 1) -> float:
        """Returns the mean time of a batch of this size."""
        return self.fixed_us + batch_size * self.item_us


class Fault(Enum):
    """What a spell does."""

    SLOWER = "The tiers' work takes `factor` times as long."
    SLOW_STORE = "A read of the store takes `extra_us` more; the staged tiers read it."
    DEAD_STORE = "A read of the store is never answered."


@dataclass(frozen=True, slots=True)
class Spell:
    """A fault for a while.

    Attributes:
        start_us, end_us: of the run, multiples of 250 ms.
        tiers: that it strikes.
    """

    start_us: int
    end_us: int
    fault: Fault
    tiers: tuple[Tier, ...] = (Tier.FULL, Tier.REDUCED)
    factor: float = 1.0
    extra_us: int = 0


@dataclass(frozen=True, slots=True)
class ServerModel:
    """The server's processes and what its work takes.

    Attributes:
        work: by tier; POPULAR is never batched.
        processes: each with its own queue and ladder; connections are hashed to them.
        threads: of each process, which do not get into each other's way.
        batch_size: requests that one thread takes at once, at most.
        batch_delay_us: how long the first of them waits for others.
        sigma: spread of the log-normal service times.
        overhead_us: of a thread between two requests; no service time holds it.
        late_share: part of a request's work that is done when it shows to be late.
    """

    work: Mapping[Tier, TierWork]
    processes: int = 1
    threads: int = 1
    batch_size: int = 1
    batch_delay_us: int = 0
    sigma: float = 0.25
    overhead_us: int = 0
    late_share: float = 0.45

    def mean_us(self, tier: Tier) -> float:
        """Returns what one request takes of a thread, in full batches."""
        size = 1 if tier is Tier.POPULAR else self.batch_size
        return self.work[tier].mean_us(size) / size + self.overhead_us / size

    def capacity(self, tier: Tier) -> float:
        """Returns the requests a second that keep all threads busy at a tier."""
        return self.processes * self.threads * MILLION / self.mean_us(tier)

    def card(self, error: float = 1.0) -> dict[Tier, TierCost]:
        """Returns the costs that a model card would tell, wrong by a factor."""
        spread = math.exp(1.645 * self.sigma - self.sigma**2 / 2)
        costs = {}
        for tier in Tier:
            size = 1 if tier is Tier.POPULAR else self.batch_size
            mean_us = self.work[tier].mean_us(size) * error
            costs[tier] = TierCost(int(mean_us * spread), int(mean_us), is_live=False)
        return costs


@dataclass(frozen=True, slots=True)
class Scenario:
    """One seeded run.

    Attributes:
        rate: requests a second at each of the given seconds, float64 [N] -> [N].
        utility: of an answer in time, by tier.
        latency_budget_us: an answer is in time when it took no longer.
        deadline_us: after which the caller is gone.
        max_attempts: a caller who got nothing tries so often, in all.
        card_error: factor by which the model card is wrong.
    """

    name: str
    seed: int
    seconds: float
    rate: Callable[[FloatArray], FloatArray]
    server: ServerModel
    spells: tuple[Spell, ...] = ()
    utility: Mapping[Tier, float] = field(
        default_factory=lambda: {Tier.FULL: 1.0, Tier.REDUCED: 0.9, Tier.POPULAR: 0.6}
    )
    latency_budget_us: int = 20_000
    deadline_us: int = 200_000
    max_attempts: int = 1
    card_error: float = 1.0

    def arrivals_us(self) -> IntArray:
        """Returns the times of the first attempts, int64 [N] ascending: Poisson."""
        random = np.random.default_rng(self.seed)
        starts = np.arange(0, int(self.seconds * MILLION), _CELL_US)
        rates = self.rate((starts + _CELL_US / 2) / MILLION)
        counts = random.poisson(np.maximum(rates, 0.0) * _CELL_US / MILLION)
        cells = np.repeat(starts, counts)
        return np.sort(cells + random.integers(0, _CELL_US, len(cells)))

    def spell_at(self, now_us: int) -> Spell | None:
        """Returns the fault that is on; the first where several are."""
        for spell in self.spells:
            if spell.start_us <= now_us < spell.end_us:
                return spell
        return None
