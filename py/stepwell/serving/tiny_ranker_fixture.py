"""A tiny but whole ranker for the tests of this room: real stores, real gRPC."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from pydantic import JsonValue

from stepwell.base.deadline import Deadline
from stepwell.base.metrics import Metrics
from stepwell.degradation.circuit_breaker import BreakerOptions, CircuitBreaker
from stepwell.degradation.controller import LadderOptions
from stepwell.degradation.slate_cache import SlateCache
from stepwell.degradation.tier_policy import PolicyOptions
from stepwell.feedback.item_activity import ItemActivity
from stepwell.feedback.user_history_updater import USER_HISTORY_VIEW
from stepwell.pipeline.candidate import (
    CandidateSet,
    RankedSet,
    ScoreArray,
    SourceResult,
)
from stepwell.pipeline.executor import Executor, Stages
from stepwell.pipeline.plan import ExecutionPlan
from stepwell.pipeline.planner import Planner
from stepwell.pipeline.query import FeatureBatch, Query, Scores, UserContext
from stepwell.pipeline.stages import CandidateSource, Retrieved, SourceRequest
from stepwell.releases.loader import Loader
from stepwell.releases.manifest import Manifest, ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import DirectorySource
from stepwell.retrieval.history_source import HistorySource
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.retrieval.popular_source import PopularSource
from stepwell.retrieval.stage import RetrievalStage
from stepwell.schema.history_row import history_of_row
from stepwell.schema.vocabulary import RowArray, Vocabulary
from stepwell.serving.card_costs import DEFAULT_COSTS
from stepwell.serving.engine import Engine
from stepwell.serving.event_clock import EventClock
from stepwell.serving.guarded_store import GuardedStore
from stepwell.serving.live_experiments import LiveExperiments
from stepwell.serving.popular_slates import MemorySlates
from stepwell.serving.ranker import Ranker
from stepwell.serving.ranker_options import RankerOptions, RankerParts
from stepwell.serving.ready import Ready
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
STALE_USER = "stale"


class SkippingClock(EventClock):
    """The ranker's clock, whose monotonic time a test can let skip ahead."""

    def __init__(self) -> None:
        super().__init__(follows_releases=True)
        self._skipped_us = 0

    def monotonic_us(self) -> int:
        return super().monotonic_us() + self._skipped_us

    def skip_us(self, microseconds: int) -> None:
        self._skipped_us += microseconds


@dataclass
class Faults:
    """What goes wrong, by stage ("ranking_full" and "ranking_reduced" are two)."""

    clock: SkippingClock
    delays_us: dict[str, int] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def strike(self, stage: str) -> None:
        self.entered.set()
        self.gate.wait()
        self.clock.skip_us(self.delays_us.get(stage, 0))
        if stage in self.errors:
            raise self.errors[stage]

    def scored(self, total: ScoreArray) -> ScoreArray:
        """The scores as a scorer gives them out."""
        return total


class _FaultyReads:
    """A store whose reads on the request path fail when they are told to."""

    def __init__(self, store: KeyValueStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self.put_many = store.put_many
        self.write_if = store.write_if
        self.close = store.close

    def get_many(
        self, view: str, keys: Sequence[str], timeout_us: int | None = None
    ) -> list[bytes | None]:
        return self.get_rows([(view, key) for key in keys], timeout_us)

    def get_rows(
        self, rows: Sequence[tuple[str, str]], timeout_us: int | None = None
    ) -> list[bytes | None]:
        self._faults.strike("store")
        return self._store.get_rows(rows, timeout_us)


class _StoredUsers:
    def __init__(
        self, store: KeyValueStore, vocabulary: Vocabulary, faults: Faults
    ) -> None:
        self._store = store
        self._vocabulary = vocabulary
        self._faults = faults

    def hydrate(self, query: Query, deadline: Deadline) -> UserContext:
        self._faults.strike("hydrate")
        if query.user_id == STALE_USER:
            unknown = UserContext.unknown(query.user_id, (USER_HISTORY_VIEW,))
            return replace(unknown, is_cold=False, stale=(USER_HISTORY_VIEW,))
        (blob,) = self._store.get_many(USER_HISTORY_VIEW, [query.user_id])
        if blob is None:
            return UserContext.unknown(query.user_id, (USER_HISTORY_VIEW,))
        history = history_of_row(blob)
        rows = self._vocabulary.rows_of_keys(history.keys)
        return UserContext(query.user_id, history, rows)


class _FaultySource:
    """The trending source: emits nothing, and fails, all or in part, when told to."""

    name = "trending"

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def retrieve(
        self, query: Query, user: UserContext, request: SourceRequest
    ) -> SourceResult:
        self._faults.strike("trending")
        share = self._faults.shares.get("trending", 1.0)
        return replace(SourceResult.empty(), coverage=share)


class _FaultyRetrieval:
    def __init__(self, stage: RetrievalStage, faults: Faults) -> None:
        self._stage = stage
        self._faults = faults

    def run(
        self, query: Query, user: UserContext, plan: ExecutionPlan, deadline: Deadline
    ) -> Retrieved:
        retrieved = self._stage.run(query, user, plan, deadline)
        # After the sources: a late stage, whose sources were all in time.
        self._faults.strike("retrieval")
        return retrieved


class _SourceScores:
    """Features are the sources' scores; the score is their sum."""

    def __init__(self, faults: Faults, name: str = "") -> None:
        self._faults = faults
        self._name = name

    def hydrate(
        self, query: Query, user: UserContext, candidates: CandidateSet
    ) -> FeatureBatch:
        self._faults.strike("features")
        sparse = np.zeros((len(candidates), 0), np.int64)
        return FeatureBatch(candidates.source_scores, sparse)

    def score(self, features: FeatureBatch, deadline: Deadline | None = None) -> Scores:
        self._faults.strike(f"ranking_{self._name}")
        total = self._faults.scored(features.dense.sum(axis=1))
        return Scores(total, total[:, None], ("bought",))


class _Policy:
    """Denies one item, on every tier."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def allowed(self, rows: RowArray) -> npt.NDArray[np.bool_]:
        return np.not_equal(rows, DENIED_ROW)

    def rerank(
        self, query: Query, user: UserContext, ranked: RankedSet, plan: ExecutionPlan
    ) -> RankedSet:
        self._faults.strike("reranking")
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
    store: KeyValueStore, faults: Faults, metrics: Metrics, release_id: str
) -> Engine:
    """An engine with two real sources and a scorer that adds their scores up."""
    vocabulary = Vocabulary.build([f"item-{row}" for row in range(NUM_ITEMS)])
    lists, policy, clock = popular_lists(), _Policy(faults), faults.clock
    slates = SlateCache(max_users=100, freshness_us=60_000_000)
    sources: list[CandidateSource] = [
        HistorySource(),
        _FaultySource(faults),
        PopularSource(lists),
    ]
    stages = Stages(
        query_hydrator=_StoredUsers(store, vocabulary, faults),
        retriever=_FaultyRetrieval(RetrievalStage(sources, metrics), faults),
        candidate_hydrator=_SourceScores(faults),
        scorers={name: _SourceScores(faults, name) for name in ("full", "reduced")},
        reranker=policy,
        popular=MemorySlates(slates, lists, policy, clock, NUM_ITEMS),
    )
    facts = ReleaseFacts(release_id, "ab" * 8, vocabulary, _Names())
    return Engine(facts, Executor(stages, Planner()), slates, DEFAULT_COSTS, clock)


@dataclass
class RunningRanker:
    """A ranker that serves on this event loop."""

    ranker: Ranker
    ready: Ready
    metrics: Metrics
    faults: Faults
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


def publish(
    registry: Path,
    key: SigningKey,
    folder: Path,
    models: dict[str, JsonValue] | None = None,
    *,
    promote: bool = True,
) -> None:
    """Publishes a release whose one file says that it is empty."""
    folder.mkdir(parents=True)
    (folder / "readme.txt").write_text("the tests build their engine without files\n")
    digest = "ab" * 32
    metadata = ReleaseMetadata(
        data_watermark_seconds=WATERMARK,
        embedding_space_hash=digest,
        feature_schema_hash=digest,
        models=models or {},
    )
    Publisher(registry, key).publish(folder, metadata, promote=promote)


def ranker_parts(
    folder: Path, key: SigningKey, faults: Faults, of_canary: Faults | None = None
) -> RankerParts:
    """The parts of a ranker over the stores and the registry below `folder`.

    Args:
        of_canary: the faults of every release but the first.
    """
    clock, metrics = faults.clock, Metrics()
    store = LmdbKeyValueStore(folder / "online")
    breaker = CircuitBreaker(BreakerOptions(slow_call_us=1_000_000))
    guarded = GuardedStore(_FaultyReads(store, faults), breaker, clock)

    def build(directory: Path, manifest: Manifest) -> Engine:
        own = faults if manifest.serial == 1 else of_canary or faults
        return build_engine(guarded, own, metrics, manifest.release_id)

    event_log = LmdbEventLog(folder / "events")
    return RankerParts(
        source=DirectorySource(folder / "registry"),
        loader=Loader(key.verifying_key(), build),
        store=store,
        event_log=event_log,
        items=ItemActivity(event_log, store, clock, metrics),
        breakers={"store": breaker},
        clock=clock,
        metrics=metrics,
    )


OPTIONS = RankerOptions(
    poll_seconds=0.05,
    default_deadline_us=5_000_000,
    apply_wait_seconds=30.0,
    ladder=LadderOptions(
        latency_budget_us=5_000_000,
        policy=PolicyOptions(probe_ppm=0, exercise_ppm=0),
    ),
)


@asynccontextmanager
async def running_ranker(
    folder: Path,
    options: RankerOptions = OPTIONS,
    models: dict[str, JsonValue] | None = None,
    key: SigningKey | None = None,
    experiments: Path | None = None,
    canary: type[Faults] = Faults,
) -> AsyncIterator[RunningRanker]:
    """A ranker with one release, signed with `key`; it drains at the end.

    Later releases have faults of their own, of the kind `canary`.
    """
    key, faults = key or SigningKey.generate(), Faults(SkippingClock())
    publish(folder / "registry", key, folder / "artifacts", models)
    parts = ranker_parts(folder, key, faults, canary(faults.clock))
    if experiments is not None:
        live = LiveExperiments(experiments, parts.metrics)
        parts = replace(parts, experiments=live)
    stop: asyncio.Event = asyncio.Event()
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    ranker = Ranker(parts, options)
    running = asyncio.create_task(ranker.run(stop, ready.set_result))
    running.add_done_callback(lambda _: ready.cancel())
    listening = await ready
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{listening.port}") as channel:
            yield RunningRanker(
                ranker=ranker,
                ready=listening,
                metrics=parts.metrics,
                faults=faults,
                breaker=parts.breakers["store"],
                store=parts.store,
                event_log=parts.event_log,
                channel=channel,
                stop=stop,
                done=running,
            )
    finally:
        faults.gate.set()
        stop.set()
        await running


@pytest.fixture
async def ranker(tmp_path: Path) -> AsyncIterator[RunningRanker]:
    """A ranker with the options above."""
    async with running_ranker(tmp_path) as running:
        yield running
