"""Latency of every tier: sequential requests from one client, as a user sees them."""

import time
from collections.abc import Sequence

import numpy as np
from rich.progress import Progress

from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Tier

TIERS = (Tier.FULL, Tier.REDUCED, Tier.POPULAR)


def measure_latency(
    client: RecommendClient, users: Sequence[str], num_requests: int, progress: Progress
) -> dict[str, dict[str, float]]:
    """Returns {tier: {p50, p99, server_p50, server_p99, ...}} in milliseconds.

    Args:
        client: a client of the server to measure.
        users: asked in turn.
        num_requests: sequential requests a tier, >= 1; the tier is forced.
        progress: shows one bar.
    """
    task = progress.add_task("latency", total=num_requests * len(TIERS))
    report = {}
    for tier in TIERS:
        seen, server, retrieval = [], [], []
        for number in range(num_requests):
            started = time.perf_counter()
            answer = client.recommend(
                users[number % len(users)], num_items=10, forced_tier=tier
            )
            seen.append((time.perf_counter() - started) * 1e3)
            server.append(answer.served_by.server_us / 1e3)
            retrieval.append(answer.served_by.stage_us.get("retrieval", 0) / 1e3)
            progress.advance(task)
        report[tier.name.lower()] = {
            **_percentiles(seen, ""),
            **_percentiles(server, "server_"),
            **_percentiles(retrieval, "retrieval_"),
        }
    return report


def _percentiles(samples_ms: Sequence[float], prefix: str) -> dict[str, float]:
    p50, p99 = np.percentile(samples_ms, [50, 99])
    return {f"{prefix}p50": round(float(p50), 3), f"{prefix}p99": round(float(p99), 3)}
