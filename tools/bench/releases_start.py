"""From nothing to the first FULL answer, part of benchmark `releases`."""

import tempfile
import time
from contextlib import closing
from pathlib import Path
from threading import Event

from bench.ladder import CONFIG
from bench.report import BenchRow, at_most
from bench.serving_processes import RankerUnderTest, ServedRelease
from stepwell.base.errors import StepwellError
from stepwell.client.attempts import ClientOptions
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Tier

MAX_START_S = 3.0
_GIVE_UP_S = 30.0
_LOOK_AGAIN_S = 0.005
_PATIENT = ClientOptions(deadline_ms=5_000, retries=RetryOptions(max_attempts=1))


def start_rows(served: ServedRelease, num_starts: int) -> list[BenchRow]:
    """Returns the verdict on several starts, every file in the page cache."""
    with tempfile.TemporaryDirectory() as scratch:
        ranker = RankerUnderTest(served, Path(scratch, "ranker"), CONFIG)
        with closing(ranker):
            user_id = served.user_ids()[0]
            # The first one has brought the files, of Python too, into the cache.
            took = sorted(_start_s(ranker, user_id) for _ in range(num_starts))
    return [
        at_most(
            f"start to the first FULL answer, files in the page cache, {num_starts} "
            "starts of one process",
            took[len(took) // 2],
            "s median",
            MAX_START_S,
        ),
        BenchRow("the same, the longest", took[-1], "s"),
    ]


def _start_s(ranker: RankerUnderTest, user_id: str) -> float:
    serving_s, asked = ranker.restart_after_kill(), time.monotonic()
    with RecommendClient(ranker.address, _PATIENT) as client:
        while not _is_full(client, user_id):
            if time.monotonic() - asked > _GIVE_UP_S:
                raise RuntimeError(f"no FULL answer after {_GIVE_UP_S:g} s")
            Event().wait(_LOOK_AGAIN_S)
    return serving_s + time.monotonic() - asked


def _is_full(client: RecommendClient, user_id: str) -> bool:
    try:
        return client.recommend(user_id, 10).served_by.tier is Tier.FULL
    except StepwellError:
        return False
