"""A tiny but whole ranker for the tests of this room: real stores, real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
import pytest

from stepwell.base.clock import Clock
from stepwell.base.deadline import Deadline
from stepwell.base.metrics import Metrics
from stepwell.degradation.circuit_breaker import BreakerOptions, CircuitBreaker
from stepwell.degradation.controller import LadderOptions
from stepwell.degradation.slate_cache import SlateCache
from stepwell.degradation.tier_policy import PolicyOptions
from stepwell.feedback.user_history_updater import USER_HISTORY_VIEW
from stepwell.pipeline.candidate import CandidateSet, RankedSet
from stepwell.pipeline.executor import Executor, Stages
from stepwell.pipeline.plan import ExecutionPlan
from stepwell.pipeline.planner import Planner
from stepwell.pipeline.query import FeatureBatch, Query, Scores, UserContext
from stepwell.releases.loader import Loader
from stepwell.releases.manifest import Manifest, ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import DirectorySource
from stepwell.retrieval.history_source import HistorySource
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.retrieval.popular_source import PopularSource
from stepwell.retrieval.stage import RetrievalStage
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import RowArray, Vocabulary
from stepwell.serving.engine import DEFAULT_COSTS, Engine
from stepwell.serving.event_clock import EventClock
from stepwell.serving.guarded_store import GuardedStore
from stepwell.serving.popular_slates import MemorySlates
from stepwell.serving.ranker import Ranker, RankerOptions, RankerParts, Ready
from stepwell.serving.responses import ReleaseFacts
from stepwell.stores.event_log import EventLog
from stepwell.stores.key_value_store import KeyValueStore
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore
from stepwell_pb.v1 import (
    admin_pb2_grpc,
    feedback_pb2_grpc,
    recommend_pb2_grpc,
)

NUM_ITEMS = 600
WATERMARK = 1_500_000_000
DENIED_ROW = 3


class _StoredUsers:
    def __init__(self, store: KeyValueStore, vocabulary: Vocabulary) -> None:
        self._store = store
        self._vocabulary = vocabulary

    def hydrate(self, query: Query, deadline: Deadline) -> UserContext:
        (blob,) = self._store.get_many(USER_HISTORY_VIEW, [query.user_id])
        if blob is None:
            return UserContext.unknown(query.user_id, (USER_HISTORY_VIEW,))
        history = UserHistory.unpack(blob)
        rows = self._vocabulary.rows_of_keys(history.keys)
        return UserContext(query.user_id, history, rows)


class _SourceScores:
    """Features are the sources' scores; the score is their sum."""

    def hydrate(
        self, query: Query, user: UserContext, candidates: CandidateSet
    ) -> FeatureBatch:
        sparse = np.zeros((len(candidates), 0), np.int64)
        return FeatureBatch(candidates.source_scores, sparse)

    def score(self, features: FeatureBatch) -> Scores:
        total = features.dense.sum(axis=1)
        return Scores(total, total[:, None], ("bought",))


class _Policy:
    """Denies one item, on every tier."""

    def allowed(self, rows: RowArray) -> npt.NDArray[np.bool_]:
        return np.not_equal(rows, DENIED_ROW)

    def rerank(
        self, query: Query, user: UserContext, ranked: RankedSet, plan: ExecutionPlan
    ) -> RankedSet:
        allowed = np.flatnonzero(self.allowed(ranked.candidates.rows))
        return ranked.taken(allowed[: query.num_items])


class _Names:
    def name_of_row(self, row: int) -> str:
        return f"Item {row}"


def popular_lists() -> PopularLists:
    """Item 0 is the most popular one, and so on."""
    rows = np.arange(NUM_ITEMS, dtype=np.int32)
    scores = np.linspace(0.5, 0.01, NUM_ITEMS, dtype=np.float32)
    return PopularLists(
        rows, scores, rows[None, :], scores[None, :], rows, scores, ("",)
    )


def build_engine(
    store: KeyValueStore, clock: Clock, metrics: Metrics, release_id: str
) -> Engine:
    """An engine with two real sources and a scorer that adds their scores up."""
    vocabulary = Vocabulary.build([f"item-{row}" for row in range(NUM_ITEMS)])
    lists, policy = popular_lists(), _Policy()
    slates = SlateCache(max_users=100, freshness_us=60_000_000)
    scores = _SourceScores()
    stages = Stages(
        query_hydrator=_StoredUsers(store, vocabulary),
        retriever=RetrievalStage([HistorySource(), PopularSource(lists)], metrics),
        candidate_hydrator=scores,
        scorers={"full": scores, "reduced": scores},
        reranker=policy,
        popular=MemorySlates(slates, lists, policy, clock, NUM_ITEMS),
    )
    facts = ReleaseFacts(release_id, "ab" * 8, vocabulary, _Names())
    return Engine(facts, Executor(stages, Planner()), slates, DEFAULT_COSTS, clock)


@dataclass
class RunningRanker:
    """A ranker that serves on this event loop."""

    ready: Ready
    metrics: Metrics
    breaker: CircuitBreaker
    store: KeyValueStore
    event_log: EventLog
    channel: grpc.aio.Channel
    stop: asyncio.Event
    done: "asyncio.Task[None]"

    @property
    def recommend(self) -> recommend_pb2_grpc.RecommendServiceStub:
        return recommend_pb2_grpc.RecommendServiceStub(self.channel)

    @property
    def feedback(self) -> feedback_pb2_grpc.FeedbackServiceStub:
        return feedback_pb2_grpc.FeedbackServiceStub(self.channel)

    def admin(self) -> admin_pb2_grpc.AdminServiceStub:
        address = f"127.0.0.1:{self.ready.admin_port}"
        return admin_pb2_grpc.AdminServiceStub(grpc.aio.insecure_channel(address))


def publish(registry: Path, key: SigningKey, folder: Path) -> None:
    """Publishes a release whose one file says that it is empty."""
    folder.mkdir()
    (folder / "readme.txt").write_text("the tests build their engine without files\n")
    digest = "ab" * 32
    metadata = ReleaseMetadata(
        data_watermark_seconds=WATERMARK,
        embedding_space_hash=digest,
        feature_schema_hash=digest,
    )
    Publisher(registry, key).publish(folder, metadata)


def ranker_parts(folder: Path, key: SigningKey) -> RankerParts:
    """The parts of a ranker over the stores and the registry below `folder`."""
    clock, metrics = EventClock(follows_releases=True), Metrics()
    store = LmdbKeyValueStore(folder / "online")
    breaker = CircuitBreaker(BreakerOptions(slow_call_us=1_000_000))
    guarded = GuardedStore(store, breaker, clock)

    def build(directory: Path, manifest: Manifest) -> Engine:
        return build_engine(guarded, clock, metrics, manifest.release_id)

    return RankerParts(
        source=DirectorySource(folder / "registry"),
        loader=Loader(key.verifying_key(), build),
        store=store,
        event_log=LmdbEventLog(folder / "events"),
        breakers={"store": breaker},
        clock=clock,
        metrics=metrics,
    )


OPTIONS = RankerOptions(
    poll_seconds=0.05,
    default_deadline_us=5_000_000,
    ladder=LadderOptions(
        latency_budget_us=5_000_000,
        policy=PolicyOptions(probe_ppm=0, exercise_ppm=0),
    ),
)


@pytest.fixture
async def ranker(tmp_path: Path) -> AsyncIterator[RunningRanker]:
    """A ranker with one release; it drains at the end of the test."""
    key = SigningKey.generate()
    publish(tmp_path / "registry", key, tmp_path / "artifacts")
    parts = ranker_parts(tmp_path, key)
    stop: asyncio.Event = asyncio.Event()
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(Ranker(parts, OPTIONS).run(stop, ready.set_result))
    running.add_done_callback(lambda _: ready.cancel())
    listening = await ready
    async with grpc.aio.insecure_channel(f"127.0.0.1:{listening.port}") as channel:
        yield RunningRanker(
            ready=listening,
            metrics=parts.metrics,
            breaker=parts.breakers["store"],
            store=parts.store,
            event_log=parts.event_log,
            channel=channel,
            stop=stop,
            done=running,
        )
    stop.set()
    await running
