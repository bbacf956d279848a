"""A run second by second: what the plots of a report show."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from load_run import LoadRun
from stepwell.client.types import Reason, Tier

Series = npt.NDArray[np.float64]

QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
REFUSED = "error"


@dataclass(frozen=True)
class BySecond:
    """Float64 series [S], one value for each second in which calls were due.

    Attributes:
        offered, goodput: calls a second; answered in the budget a second.
        latency_ms: by quantile, of all calls.
        tiers: share of the calls that each tier answered, and that failed.
        reasons: answers a second that gave each reason.
    """

    offered: Series
    goodput: Series
    latency_ms: Mapping[str, Series]
    tiers: Mapping[str, Series]
    reasons: Mapping[str, Series]

    def as_json(self) -> dict[str, object]:
        """Returns plain values."""
        return {
            "offered": self.offered.tolist(),
            "goodput": self.goodput.tolist(),
            **{
                name: {key: np.round(row, 4).tolist() for key, row in rows.items()}
                for name, rows in (
                    ("latency_ms", self.latency_ms),
                    ("tiers", self.tiers),
                    ("reasons", self.reasons),
                )
            },
        }


def by_second(run: LoadRun, budget_ms: float) -> BySecond:
    """Returns the series of a run."""
    second = run.due_s.astype(np.int64)
    size = int(second.max()) + 1 if len(run) else 0

    def count(chosen: npt.NDArray[np.bool_]) -> Series:
        return np.bincount(second[chosen], minlength=size).astype(np.float64)

    everything = np.ones(len(run), bool)
    offered = count(everything)
    least = np.maximum(offered, 1)
    ok = run.ok()
    tiers = {tier.name: count(ok & (run.tier == tier)) / least for tier in Tier if tier}
    return BySecond(
        offered=offered,
        goodput=count(run.in_budget(budget_ms)),
        latency_ms=_quantiles(run, second, size),
        tiers={**tiers, REFUSED: count(~ok) / least},
        reasons={
            name: count(run.has_reason(Reason[name])) for name in run.reason_counts()
        },
    )


def _quantiles(
    run: LoadRun, second: npt.NDArray[np.int64], size: int
) -> dict[str, Series]:
    latency = run.latency_ms()
    order = np.argsort(second, kind="stable")
    edges = np.searchsorted(second[order], np.arange(size + 1))
    rows = {name: np.zeros(size) for name in QUANTILES}
    for number in range(size):
        part = latency[order[edges[number] : edges[number + 1]]]
        for name, share in QUANTILES.items():
            if len(part):
                rows[name][number] = np.quantile(part, share, method="higher")
    return rows
