"""Replay of logged requests, part of benchmark `features`.

A ranker on the demo's release logs all that each of its answers read, at FULL and at
REDUCED, while events come in between. Then it ends, and every one of those requests is
computed again from the log alone, and compared bit for bit.
"""

import tempfile
from contextlib import closing
from pathlib import Path

from bench.features_read import CONFIG
from bench.features_visible import World
from bench.report import BenchRow, at_least, at_most
from bench.serving_processes import RankerUnderTest, ServedRelease
from engine_options import engine_options
from log_replayer import Releases, ReplayReport, replay_log
from serving_config import ServingConfig
from stepwell.client.attempts import ClientOptions
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Tier
from stepwell.models.precision import Precision
from stepwell.stores.locations import open_event_log

NUM_REQUESTS = 10_000
_PRECISION: Precision = "bfloat16"
_EVENTS_EVERY, _EVENTS = 50, 20
_TIERS = (Tier.FULL, Tier.FULL, Tier.REDUCED)
_PATIENT = ClientOptions(deadline_ms=5_000, retries=RetryOptions(max_attempts=1))


def replay_rows(
    served: ServedRelease, num_requests: int = NUM_REQUESTS
) -> list[BenchRow]:
    """Returns the rows; some 10 ms a request."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "ranker")
        flags = ("--replayable_share=1",)
        with closing(RankerUnderTest(served, folder, CONFIG, flags)) as ranker:
            where = ranker.event_log
            _ask(ranker.address, World.of(served), num_requests)
        config = ServingConfig.read(folder / "config.yaml")
        options = engine_options(config, None, 0, _PRECISION)
        releases = Releases(served.registry, options)
        with closing(open_event_log(str(where))) as log:
            return rows_of(replay_log(log, releases), num_requests)


def _ask(address: str, world: World, num_requests: int) -> None:
    with RecommendClient(address, _PATIENT) as client:
        for number in range(num_requests):
            user_id = world.users[number % len(world.users)]
            client.recommend(
                user_id, num_items=10, forced_tier=_TIERS[number % len(_TIERS)]
            )
            if number % _EVENTS_EVERY == 0:
                client.log_events(world.batch(number, _EVENTS))


def rows_of(report: ReplayReport, num_requests: int) -> list[BenchRow]:
    """Returns the verdicts; a request that could not be repeated proves nothing."""
    work = f"replay of {num_requests:,} logged requests, bit for bit"
    return [
        at_most(f"{work}: that differ", report.num_different, "requests", 0.0),
        at_least(
            f"{work}: repeated ({report.num_features:,} values of features compared)",
            report.num_replayed,
            "requests",
            float(num_requests),
        ),
    ]
