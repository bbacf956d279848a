"""Event to visible feature, part of benchmark `features`, through real processes.

Events enter a collector at a steady rate; it acknowledges them once they are on disk.
A ranker beside it, with the log in common, folds them. Probes are users nobody has
heard of: each sends one event through the collector, then asks the ranker until its
answer is made with that user's state. The time counts from before the event is sent to
after that answer has come.
"""

import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.features_read import CONFIG
from bench.report import BenchRow, at_least, at_most
from bench.serving_processes import RankerUnderTest, ServedRelease
from server_process import server_process
from stepwell.client.attempts import ClientOptions
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Event, EventType, Tier
from stepwell.feedback.user_history_updater import USER_HISTORY_VIEW
from stepwell.releases.manifest import MANIFEST_NAME, parse_manifest
from stepwell.schema.vocabulary import VOCABULARY_FILE, Vocabulary

if TYPE_CHECKING:
    # The build takes dependencies from imports: the child is started from its file.
    import event_collector_main  # noqa: F401

RATE = 2_000
BATCH = 100
MAX_VISIBLE_MS = 1_000.0
MIN_ACHIEVED = 0.99
_NUM_PROBERS = 4
_LOOK_AGAIN_S = 0.015
_GIVE_UP_S = 10.0
_HISTORY_TYPE = EventType.PURCHASE
_PATIENT = ClientOptions(deadline_ms=5_000, retries=RetryOptions(max_attempts=1))


@dataclass(slots=True)
class Visible:
    """What was seen: milliseconds of each probe, and how the load went."""

    probes_ms: list[float] = field(default_factory=list)
    num_events: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class World:
    """Who does what: users, items and the time that events carry."""

    users: Sequence[str]
    items: Sequence[str]
    now: int

    @classmethod
    def of(cls, served: ServedRelease) -> "World":
        """Returns the release's own users and items; now is where its data ends."""
        items = Vocabulary.load(served.release / VOCABULARY_FILE)
        manifest = parse_manifest((served.release / MANIFEST_NAME).read_bytes())
        return cls(
            served.user_ids(),
            items.ids_of_rows(np.arange(min(len(items), 10_000))),
            manifest.metadata.data_watermark_seconds,
        )

    def batch(self, number: int, size: int = BATCH) -> list[Event]:
        """Returns events `number` * size and on; the same number, the same events."""
        places = range(number * size, (number + 1) * size)
        return [
            Event(
                event_id=f"load-{place}",
                user_id=self.users[place * 7 % len(self.users)],
                item_id=self.items[place * 13 % len(self.items)],
                event_type=_HISTORY_TYPE,
                event_time_seconds=self.now,
                value=1.0,
            )
            for place in places
        ]

    def probe(self, number: int) -> Event:
        """Returns the only event of a user of its own."""
        return Event(
            event_id=f"probe-{number}",
            user_id=f"probe-{number}",
            item_id=self.items[number % len(self.items)],
            event_type=_HISTORY_TYPE,
            event_time_seconds=self.now,
            value=1.0,
        )


def visible_rows(served: ServedRelease, seconds: float) -> list[BenchRow]:
    """Returns the rows; `seconds` of load and some 10 more."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ranker = RankerUnderTest(served, scratch / "ranker", CONFIG)
        stack.enter_context(closing(ranker))
        collector = stack.enter_context(
            server_process("event_collector_main", [f"--event_log={ranker.event_log}"])
        )
        events = RecommendClient(collector.address, _PATIENT)
        slates = RecommendClient(ranker.address, _PATIENT)
        stack.enter_context(events)
        stack.enter_context(slates)
        return rows_of(_seen(World.of(served), events, slates, seconds))


def rows_of(found: Visible) -> list[BenchRow]:
    """Returns the verdict, void when the load was not what it says."""
    achieved = found.num_events / max(found.seconds, 1e-9) / RATE
    p50, p99 = (float(np.percentile(found.probes_ms, share)) for share in (50, 99))
    work = (
        f"event to visible feature at {RATE:,} events/s in batches of {BATCH}: "
        f"collector, log, ranker's next answer; {len(found.probes_ms)} probes"
    )
    return [
        at_most(work, p99, "ms p99", MAX_VISIBLE_MS),
        BenchRow("the same", p50, "ms p50"),
        at_least(
            "the same: events acknowledged of those meant",
            min(achieved, 1.0),
            "share",
            MIN_ACHIEVED,
        ),
    ]


def _seen(
    world: World, events: RecommendClient, slates: RecommendClient, seconds: float
) -> Visible:
    found, over = Visible(), threading.Event()

    def keep_probing(prober: int) -> None:
        number = prober
        while not over.is_set():
            found.probes_ms.append(_probe_ms(world.probe(number), events, slates))
            number += _NUM_PROBERS

    with ThreadPoolExecutor(_NUM_PROBERS) as probers:
        running = [probers.submit(keep_probing, n) for n in range(_NUM_PROBERS)]
        try:
            _send(world, events, seconds, found)
        finally:
            over.set()
        for one in running:
            one.result()
    return found


def _send(
    world: World, events: RecommendClient, seconds: float, found: Visible
) -> None:
    """Sends batches on a schedule; one that comes late does not move the others."""
    started, pause = time.perf_counter(), threading.Event()
    for number in range(int(seconds * RATE / BATCH)):
        due = started + number * BATCH / RATE
        pause.wait(max(due - time.perf_counter(), 0.0))
        events.log_events(world.batch(number))
        found.num_events += BATCH
    found.seconds = max(time.perf_counter() - started, seconds)


def _probe_ms(event: Event, events: RecommendClient, slates: RecommendClient) -> float:
    """Returns the milliseconds from before the event to the answer that knows it.

    Raises:
        RuntimeError: no answer ever did.
    """
    started, pause = time.perf_counter(), threading.Event()
    events.log_events([event])
    while True:
        answer = slates.recommend(event.user_id, 1, forced_tier=Tier.REDUCED)
        seconds = time.perf_counter() - started
        if USER_HISTORY_VIEW not in answer.served_by.defaulted_features:
            return seconds * 1e3
        if seconds > _GIVE_UP_S:
            raise RuntimeError(f"{event.user_id} is unknown after {seconds:.1f} s")
        pause.wait(_LOOK_AGAIN_S)
