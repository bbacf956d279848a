"""From the flags to a ranker that serves: what loads models is imported here."""

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

from absl import flags

import worker_flags
from serving_config import ServingConfig
from stepwell.base.metrics import Metrics
from stepwell.degradation.circuit_breaker import BreakerOptions, CircuitBreaker
from stepwell.front.siblings import SiblingSeat
from stepwell.models.precision import Precision
from stepwell.ranking.batcher import BatchingOptions
from stepwell.releases.loader import Loader, trusted_key
from stepwell.releases.source import DirectorySource, ReleaseDirectory, Source
from stepwell.reranking.policy_filter import PolicyRules
from stepwell.reranking.stage import RerankingOptions
from stepwell.retrieval.shard_pool import PoolOptions, parse_shards
from stepwell.serving.call import TIER_OF_WIRE
from stepwell.serving.engine_builder import EngineBuilder, EngineOptions
from stepwell.serving.event_clock import EventClock
from stepwell.serving.guarded_store import GuardedStore
from stepwell.serving.ladder_constants import PinnedState, with_constants
from stepwell.serving.ranker import Ranker, RankerOptions, RankerParts
from stepwell.serving.ready import Ready
from stepwell.serving.remote_index import RemoteIndex
from stepwell.serving.server import Listen
from stepwell.stores.locations import (
    open_event_log,
    open_key_value_store,
)

T = TypeVar("T")


def _source() -> tuple[Source, Path]:
    """Returns where releases come from, and the registry whose key signs them."""
    if worker_flags.RELEASE_DIR.value:
        directory = Path(worker_flags.RELEASE_DIR.value).resolve()
        return ReleaseDirectory(directory), directory.parent
    registry = Path(worker_flags.REGISTRY.value or ".")
    return DirectorySource(registry), registry


def _remote_index(clock: EventClock, metrics: Metrics) -> RemoteIndex | None:
    """The shards that the flags name; None searches in this process."""
    if not worker_flags.RETRIEVAL_SHARDS.value:
        return None
    options = PoolOptions(hop_us=worker_flags.RETRIEVAL_HOP_MS.value * 1_000)
    shards = parse_shards(worker_flags.RETRIEVAL_SHARDS.value)
    return RemoteIndex(shards, clock, metrics, options)


def _config() -> ServingConfig:
    path = worker_flags.CONFIG.value
    return ServingConfig.read(Path(path)) if path else ServingConfig()


def _chosen(flag: "flags.FlagHolder[T]", configured: T | None) -> T:
    """The flag where it was given, else the file's value, else the flag's default."""
    return flag.value if flag.present or configured is None else configured


def _parts(config: ServingConfig) -> RankerParts:
    clock = EventClock(follows_releases=worker_flags.EVENT_CLOCK.value == "release")
    metrics = Metrics()
    source, registry = _source()
    key = trusted_key(registry, _path(worker_flags.TRUSTED_KEY))
    hop_ms = worker_flags.STORE_HOP_MS.value
    store = open_key_value_store(worker_flags.STORE.value, hop_ms)
    breaker = CircuitBreaker(
        config.breaker_options("store", BreakerOptions(slow_call_us=hop_ms * 1_000))
    )
    guarded = GuardedStore(store, breaker, clock)
    breakers = {"store": breaker}
    remote = _remote_index(clock, metrics)
    if remote is not None:
        own = remote.breaker.options
        remote.breaker.reconfigure(config.breaker_options("index", own))
        breakers["index"] = remote.breaker
    policy = _path(worker_flags.POLICY)
    window = RerankingOptions(
        purchase_window_seconds=worker_flags.HIDE_PURCHASED_DAYS.value * 86_400
    )
    precision = _chosen(worker_flags.SCORER_PRECISION, config.scorer.precision)
    options = EngineOptions(
        planner=config.planner_options(),
        policy=PolicyRules.read(policy) if policy else PolicyRules(),
        reranking=window,
        scorer_precision=cast(Precision, precision),
        open_index=remote.open if remote is not None else None,
        batching=BatchingOptions(**config.batching.model_dump(exclude_none=True)),
    )
    builder = EngineBuilder(guarded, clock, metrics, options)
    return RankerParts(
        source=source,
        loader=Loader(key, builder.build),
        store=store,
        event_log=open_event_log(worker_flags.EVENT_LOG.value),
        breakers=breakers,
        clock=clock,
        metrics=metrics,
    )


def _options(config: ServingConfig, pinned: PinnedState) -> RankerOptions:
    ladder = config.ladder_options()
    budget_ms = _chosen(worker_flags.LATENCY_BUDGET_MS, config.latency_budget_ms)
    deadline_ms = _chosen(worker_flags.DEFAULT_DEADLINE_MS, config.deadline.default_ms)
    threads = worker_flags.THREADS.value
    ladder = replace(ladder, latency_budget_us=budget_ms * 1_000, parallelism=threads)
    return RankerOptions(
        listen=Listen(
            worker_flags.HOST.value,
            worker_flags.PORT.value,
            worker_flags.ADMIN_PORT.value,
            shared=worker_flags.SHARED_PORT.value,
            seat=_seat(),
        ),
        metrics_host=worker_flags.METRICS_HOST.value,
        metrics_port=worker_flags.METRICS_PORT.value,
        default_deadline_us=deadline_ms * 1_000,
        deadline_required=bool(config.deadline.required),
        num_workers=threads,
        max_queue_size=_chosen(worker_flags.MAX_QUEUE_SIZE, config.queue.max_size),
        poll_seconds=worker_flags.POLL_SECONDS.value,
        event_retention_days=worker_flags.EVENT_RETENTION_DAYS.value,
        apply_wait_seconds=worker_flags.APPLY_WAIT_MS.value / 1_000,
        ladder=with_constants(ladder, pinned.constants.ladder),
        forced_tier=TIER_OF_WIRE.get(pinned.tier),
        audit_log=worker_flags.audit_log(),
        updater_lock=worker_flags.updater_lock(),
    )


def _seat() -> SiblingSeat | None:
    text = worker_flags.SIBLINGS.value
    return SiblingSeat.from_text(text) if text else None


def _path(flag: "flags.FlagHolder[str | None]") -> Path | None:
    return Path(flag.value) if flag.value else None


def serve(on_ready: Callable[[Ready], None]) -> None:
    """Serves by the flags until SIGTERM or SIGINT, then drains.

    Args:
        on_ready: told once, when health says SERVING.
    Raises:
        StepwellError, OSError: it cannot start.
    """
    asyncio.run(_serve(on_ready))


async def _serve(on_ready: Callable[[Ready], None]) -> None:
    # The event loop gets the interpreter back from a busy worker within 1 ms, not 5.
    sys.setswitchinterval(0.001)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pinned = PinnedState.from_text(worker_flags.PINNED_STATE.value)
    config = _config()
    parts = _parts(config)
    for name, constants in pinned.constants.breakers.items():
        breaker = parts.breakers[name]
        breaker.reconfigure(with_constants(breaker.options, constants))
    await Ranker(parts, _options(config, pinned)).run(stop, on_ready)
