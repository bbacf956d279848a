"""Online read, part of benchmark `features`: one user's state inside a ranker at work.

The ranker answers a load of a process of its own; beside it one patient caller asks for
users whose history is nearest to the stated length, and every answer says how long its
ranker took to know its user. Embedded store and Redis on loopback, one after the other.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.features_feast import FEAST, PUBLISHED, feast_p99_ms
from bench.report import BenchRow, at_most
from bench.serving_processes import RankerUnderTest, ServedRelease
from bench.serving_sequential import Samples, Sequential
from generator import start
from lanes import recommend_lane
from open_loop import poisson
from stepwell.client.types import Tier
from stepwell.feedback.user_state_file import UserStateFile
from stepwell.schema.feature_registry import USER_HISTORY
from stepwell.schema.history_row import history_of_row
from stepwell.stores.redis_server_fixture import redis_server

LMDB, REDIS = "embedded", "Redis on loopback"
MAX_P99_MS = {LMDB: 0.3, REDIS: 1.0}
HISTORY_ITEMS = 100
CONFIG: dict[str, Any] = {
    "latency_budget_ms": 100,
    "scorer": {"precision": "bfloat16"},
    "tiers": {"full": {"num_candidates": 500}},
}
_LOAD = 0.3
"""Of what one request after the other would come to."""
_SEED = 11


@dataclass(frozen=True, slots=True)
class ReadAmounts:
    """How much is asked: users, answers that count, and those before."""

    num_users: int = 200
    num_requests: int = 2_000
    num_warm: int = 100


QUICK = ReadAmounts(num_users=20, num_requests=60, num_warm=20)


def read_rows(
    served: ServedRelease, amounts: ReadAmounts, feast: Path | None = None
) -> list[BenchRow]:
    """Returns the rows of each store; about 15 s each, and a minute for Feast.

    Args:
        served: what the ranker serves.
        amounts: how much is asked.
        feast: Feast's program; None leaves the figure that it publishes.
    """
    peers = PUBLISHED
    if feast is not None:
        peers = {FEAST: feast_p99_ms(feast, amounts.num_requests), **peers}
    return [
        row
        for store in (LMDB, REDIS)
        for row in rows_of(store, _read(served, store, amounts), amounts, peers)
    ]


def rows_of(
    store: str,
    samples: Samples,
    amounts: ReadAmounts,
    peers: Mapping[str, float] = PUBLISHED,
) -> list[BenchRow]:
    """Returns the verdict on a store, and the median that only informs."""
    took = samples.stage_ms["hydrate"]
    work = (
        f"online read of a user, history of {HISTORY_ITEMS}, {store}, inside the "
        f"ranker under load, {amounts.num_requests:,} answers at FULL"
    )
    p50, p99 = (float(np.percentile(took, share)) for share in (50, 99))
    return [
        at_most(work, p99, "ms p99", MAX_P99_MS[store], peers),
        BenchRow(f"the same, {store}", p50, "ms p50"),
    ]


def users_of_length(state: UserStateFile, num_items: int, num_users: int) -> list[str]:
    """Returns the users whose number of distinct items is nearest, nearest first."""
    lengths = {
        user: len(history_of_row(rows[USER_HISTORY.name]))
        for batch in state.batches(1_000)
        for user, rows in batch.items()
    }
    return sorted(lengths, key=lambda user: abs(lengths[user] - num_items))[:num_users]


def _read(served: ServedRelease, store: str, amounts: ReadAmounts) -> Samples:
    users = users_of_length(
        UserStateFile.load(served.user_state), HISTORY_ITEMS, amounts.num_users
    )
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(_redis(scratch)) if store == REDIS else None
        ranker = RankerUnderTest(served, scratch / "ranker", CONFIG, store=url)
        stack.enter_context(closing(ranker))
        lane = Sequential(ranker.address, users, Tier.FULL)
        stack.enter_context(closing(lane))
        lane.warm_up(amounts.num_warm)
        alone_ms = _asked(lane, amounts.num_warm).server_ms
        rate = _LOAD * 1e3 / float(np.median(alone_ms))
        return _under_load(ranker.address, users, lane, rate, amounts)


def _under_load(
    address: str,
    users: Sequence[str],
    lane: Sequential,
    rate: float,
    amounts: ReadAmounts,
) -> Samples:
    # Longer than the caller can take; it is ended when enough was asked.
    seconds = 10.0 + amounts.num_requests * 0.1
    load = recommend_lane("load", users, tier=Tier.FULL, deadline_ms=1_000)
    with start(address, poisson(rate, seconds, _SEED), [load]):
        lane.warm_up(amounts.num_warm)
        return _asked(lane, amounts.num_requests)


def _asked(lane: Sequential, num_requests: int) -> Samples:
    lane.samples = Samples()
    lane.ask(num_requests)
    return lane.samples


@contextmanager
def _redis(scratch: Path) -> Iterator[str]:
    with redis_server(scratch / "redis") as server:
        yield server.url
