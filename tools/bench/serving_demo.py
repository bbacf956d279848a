"""Sequential part of benchmark `serving`: every tier over gRPC on the demo's release.

The server has one core, the client another. Tiers are asked in turns, in blocks, one
request at a time, so that a machine that drifts drifts for all of them. Users are drawn
from the release's own, seeded.
"""

import random
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import BenchRow, at_most
from bench.serving_processes import Cores, RankerUnderTest, ServedRelease, pinned
from bench.serving_sequential import Samples, Sequential
from project_state import ProjectState
from stepwell.client.types import Tier

SEED = 20_171_126
TIERS = (Tier.FULL, Tier.REDUCED, Tier.POPULAR)
CONFIG: dict[str, Any] = {
    "latency_budget_ms": 100,
    "scorer": {"precision": "bfloat16"},
    "tiers": {"full": {"num_candidates": 500}},
}

_MAX_P50_MS, _MAX_P99_MS, _MAX_RETRIEVAL_MS = 8.0, 20.0, 10.0
_MAX_POPULAR_MS, _MAX_REDUCED_RATIO, _MAX_RESTART_S = 1.0, 0.40, 5.0


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is asked.

    Attributes:
        num_blocks, block: sequential requests a tier, num_blocks * block.
        num_restarts: kills.
        num_users: drawn; two thirds of them are asked for at each tier.
    """

    num_blocks: int = 20
    block: int = 50
    num_restarts: int = 3
    num_users: int = 300


QUICK = Amounts(num_blocks=4, num_restarts=1)


@dataclass(frozen=True, slots=True)
class Figures:
    """What the ranker showed.

    Attributes:
        samples: sequential requests by tier.
        cpu_ms: processor time a request by tier, mean.
        restart_s: seconds from each new start to SERVING.
    """

    samples: Mapping[Tier, Samples]
    cpu_ms: Mapping[Tier, float]
    restart_s: Sequence[float]


def demo_rows(state: ProjectState, quick: bool) -> list[BenchRow]:
    """Returns the rows; about 40 s, quick 15 s.

    Args:
        state: whose newest release is served.
        quick: fewer requests.
    Raises:
        NotFoundError: there is no release; names the command that makes one.
    """
    served = ServedRelease.newest(state)
    amounts, cores = QUICK if quick else Amounts(), Cores.available()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with pinned(cores.server):
            ranker = RankerUnderTest(served, scratch / "ranker", CONFIG)
        stack.enter_context(closing(ranker))
        stack.enter_context(pinned(cores.client))
        ids = served.user_ids()
        users = random.Random(SEED).sample(ids, min(amounts.num_users, len(ids)))
        samples, cpu_ms = _asked(ranker, users, amounts)
        with pinned(cores.server):
            restarts = [
                ranker.restart_after_kill() for _ in range(amounts.num_restarts)
            ]
    return rows_of(Figures(samples, cpu_ms, restarts))


def _asked(
    ranker: RankerUnderTest, users: Sequence[str], amounts: Amounts
) -> tuple[dict[Tier, Samples], dict[Tier, float]]:
    third = len(users) // 3
    first, last = users[: 2 * third], users[third:]
    cpu_s = dict.fromkeys(TIERS, 0.0)
    with ExitStack() as stack:

        def lane_of(tier: Tier) -> Sequential:
            # Half of POPULAR's users were asked for at another tier and have a slate in
            # memory, the other half do not.
            asked = last if tier is Tier.POPULAR else first
            lane = Sequential(ranker.address, asked, tier)
            stack.enter_context(closing(lane))
            lane.warm_up(amounts.block)
            return lane

        lanes = {tier: lane_of(tier) for tier in TIERS}
        for _ in range(amounts.num_blocks):
            for tier, lane in lanes.items():
                before = ranker.cpu_seconds()
                lane.ask(amounts.block)
                cpu_s[tier] += ranker.cpu_seconds() - before
    asked = amounts.num_blocks * amounts.block
    cpu_ms = {tier: used * 1e3 / asked for tier, used in cpu_s.items()}
    return {tier: lane.samples for tier, lane in lanes.items()}, cpu_ms


def rows_of(found: Figures) -> list[BenchRow]:
    """Returns the rows of the demo's release."""
    full, reduced, popular = (found.samples[tier] for tier in TIERS)
    cached = popular.num_cached / len(popular.seen_ms)
    full_ms, reduced_ms = (_percentile(s.server_ms, 50) for s in (full, reduced))
    restart = f"SIGKILL, then from start to SERVING, slowest of {len(found.restart_s)}"
    work = (
        f"demo's release, one core: FULL, {CONFIG['tiers']['full']['num_candidates']} "
        f"candidates, {len(full.seen_ms):,} sequential requests, as the caller sees it"
    )
    return [
        at_most(work, _percentile(full.seen_ms, 50), "ms p50", _MAX_P50_MS),
        at_most("the same", _percentile(full.seen_ms, 99), "ms p99", _MAX_P99_MS),
        at_most(
            "FULL, retrieval stage",
            _percentile(full.stage_ms["retrieval"], 99),
            "ms p99",
            _MAX_RETRIEVAL_MS,
        ),
        at_most(
            f"POPULAR, server time ({cached:.0%} from the user's own slate)",
            _percentile(popular.server_ms, 99),
            "ms p99",
            _MAX_POPULAR_MS,
        ),
        at_most(
            f"REDUCED: median server time {reduced_ms:.2f} ms over FULL's "
            f"{full_ms:.2f} ms",
            reduced_ms / full_ms,
            "ratio",
            _MAX_REDUCED_RATIO,
        ),
        *(
            BenchRow(
                f"{tier.name}, as the caller sees it",
                _percentile(found.samples[tier].seen_ms, percentile),
                f"ms p{percentile}",
            )
            for tier in (Tier.REDUCED, Tier.POPULAR)
            for percentile in (50, 99)
        ),
        *(
            BenchRow(f"{tier.name}, processor time a request", ms, "ms mean")
            for tier, ms in found.cpu_ms.items()
        ),
        at_most(restart, max(found.restart_s), "s", _MAX_RESTART_S),
    ]


def _percentile(samples: Sequence[float], percentile: int) -> float:
    return float(np.percentile(samples, percentile))
