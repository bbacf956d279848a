"""Online read by itself: the request path's own classes over made-up users, in process.

What the ranker does with a user's rows before anything else, without a ranker around
it: three views of 60 features, a history of 100 items, hits in the store's memory.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from bench.report import BenchRow
from stepwell.base.clock import SystemClock
from stepwell.base.deadline import Deadline
from stepwell.base.metrics import Metrics
from stepwell.features.online_reader import OnlineReader
from stepwell.features.user_hydrator import UserHydrator
from stepwell.pipeline.query import Query, UserContext
from stepwell.schema.feature_registry import USER_HISTORY, USER_VIEWS
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.feature_view import FeatureView
from stepwell.schema.history_row import history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import Vocabulary
from stepwell.schema.writer_watermark import WriterWatermark
from stepwell.stores.key_value_store import WATERMARK_VIEW, KeyValueStore
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore
from stepwell.stores.redis_key_value_store import RedisKeyValueStore
from stepwell.stores.redis_server_fixture import redis_server

NOW = 1_500_000_000
NUM_ITEMS = 27_000
NUM_USERS = 500
HISTORY_ITEMS = 100
_EVENTS_PER_ITEM = 3
_NUM_WARM = 200
_BUDGET_US = 2_000_000
_SEED = 11

Read = Callable[[int], UserContext]
"""Reads the n-th user."""


def alone_rows(num_reads: int) -> list[BenchRow]:
    """Returns the median of each store; it informs, the bar is on a ranker at work."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(redis_server(scratch / "redis"))
        # The hop budget of a ranker is for rankers: here a late read is a figure.
        stores: dict[str, KeyValueStore] = {
            "embedded": LmdbKeyValueStore(scratch / "online"),
            "Redis on loopback": RedisKeyValueStore(server.url, timeout_ms=1_000),
        }
        rows = []
        for name, store in stores.items():
            stack.enter_context(closing(store))
            took = times_us(user_read(store), num_reads)
            work = f"online read by itself, history of {HISTORY_ITEMS}, {name}"
            rows.append(BenchRow(work, float(np.median(took)), "us p50"))
    return rows


def times_us(read: Read, num_reads: int) -> list[float]:
    """Returns the microseconds that reads take, one after the other, once warm."""
    took = []
    for number in range(_NUM_WARM + num_reads):
        begun_ns = time.perf_counter_ns()
        read(number % NUM_USERS)
        took.append((time.perf_counter_ns() - begun_ns) / 1e3)
    return took[_NUM_WARM:]


def user_read(store: KeyValueStore) -> Read:
    """Fills the store with users and returns the read of one, as a request does it."""
    vocabulary = Vocabulary.build([f"item-{row}" for row in range(NUM_ITEMS)])
    _fill(store, vocabulary)
    reader = OnlineReader(store, USER_VIEWS, Metrics())
    hydrator = UserHydrator(reader, vocabulary, ["", "north"])
    clock = SystemClock()

    def read(number: int) -> UserContext:
        deadline = Deadline.after_us(clock, _BUDGET_US)
        query = Query("request", f"user-{number}", 10, NOW, deadline)
        return hydrator.hydrate(query, deadline)

    return read


def _fill(store: KeyValueStore, vocabulary: Vocabulary) -> None:
    rng = np.random.default_rng(_SEED)
    users = [f"user-{number}" for number in range(NUM_USERS)]
    for view in USER_VIEWS:
        rows = {user: _row(view, vocabulary, rng).pack() for user in users}
        store.put_many(view.name, rows)
    # A writer that is never old: how long the benchmark takes is no matter.
    said = WriterWatermark(SystemClock().wall_us() + 86_400_000_000, 0).pack()
    store.put_many(WATERMARK_VIEW, {view.name: said for view in USER_VIEWS})


def _row(
    view: FeatureView, vocabulary: Vocabulary, rng: np.random.Generator
) -> FeatureRow:
    if view is not USER_HISTORY:
        return FeatureRow.of(view, view.default_row(), NOW, NOW)
    rows = rng.choice(NUM_ITEMS, HISTORY_ITEMS, replace=False)
    keys = np.repeat(vocabulary.keys[rows], _EVENTS_PER_ITEM)
    times = NOW - rng.integers(1, 10_000_000, len(keys))
    return history_row(UserHistory.from_events(keys, times, segment="north"))
