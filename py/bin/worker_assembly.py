"""From the flags to a ranker that serves: what loads models is imported here."""

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

import structlog
from absl import flags

import worker_flags
from admin_door import admin_door
from engine_options import engine_options
from far_registry import far_registry, is_far
from release_warmer import ReleaseWarmer
from serving_config import ServingConfig
from stepwell.base.allocator import keep_large_blocks_apart
from stepwell.base.metrics import Metrics
from stepwell.base.user_cache import user_cache
from stepwell.degradation.circuit_breaker import BreakerOptions, CircuitBreaker
from stepwell.feedback.item_activity import ItemActivity
from stepwell.front.siblings import SiblingSeat
from stepwell.models.precision import Precision
from stepwell.ranking.compiled_cache import CompiledCache
from stepwell.releases.delta import DeltaCache, default_cache
from stepwell.releases.loader import Loader, trusted_key
from stepwell.releases.manager import ManagerOptions
from stepwell.releases.mirrored_source import MirroredSource
from stepwell.releases.signing import VerifyingKey
from stepwell.releases.source import DirectorySource, ReleaseDirectory, Source
from stepwell.releases.vetoes import Veto, Vetoes
from stepwell.retrieval.shard_pool import PoolOptions, parse_shards
from stepwell.serving.call import TIER_OF_WIRE
from stepwell.serving.engine_builder import EngineBuilder
from stepwell.serving.event_clock import EventClock
from stepwell.serving.guarded_store import GuardedStore
from stepwell.serving.ladder_constants import PinnedState, with_constants
from stepwell.serving.live_experiments import LiveExperiments
from stepwell.serving.ranker import Ranker
from stepwell.serving.ranker_options import RankerOptions, RankerParts
from stepwell.serving.ready import Ready
from stepwell.serving.remote_index import RemoteIndex
from stepwell.serving.server import Listen
from stepwell.serving.shown_slates import LoggedShares
from stepwell.stores.locations import (
    open_event_log,
    open_key_value_store,
)

_log = structlog.get_logger(__name__)
T = TypeVar("T")


def _registry() -> tuple[Path, VerifyingKey, Source]:
    """The folder of releases on this machine, whose they are, and what there is."""
    key_file = _path(worker_flags.TRUSTED_KEY)
    if worker_flags.RELEASE_DIR.value:
        directory = Path(worker_flags.RELEASE_DIR.value).resolve()
        key = trusted_key(directory.parent, key_file)
        return directory.parent, key, ReleaseDirectory(directory)
    location = worker_flags.REGISTRY.value or "."
    if is_far(location):
        cache = _path(worker_flags.REGISTRY_CACHE)
        mirror = far_registry(location, cache, key_file)
        return mirror.folder, mirror.key, MirroredSource(mirror)
    key = trusted_key(Path(location), key_file)
    return Path(location), key, DirectorySource(Path(location), key)


def _veto_writer(registry: Path, clock: EventClock) -> Callable[[int, str, str], None]:
    """Tells the other servers of the registry that a canary was taken down."""
    vetoes = Vetoes(registry)

    def write(serial: int, reason: str, evidence: str) -> None:
        veto = Veto(
            serial=serial,
            reason=reason[:64],
            evidence=evidence[:512],
            time_seconds=clock.wall_us() // 1_000_000,
        )
        try:
            vetoes.write(veto)
        except OSError as error:
            _log.warning("the veto stays in this process", reason=str(error))

    return write


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
    registry, key, source = _registry()
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
    precision = _chosen(worker_flags.SCORER_PRECISION, config.scorer.precision)
    options = engine_options(
        config,
        _path(worker_flags.POLICY),
        worker_flags.HIDE_PURCHASED_DAYS.value,
        cast(Precision, precision),
        remote.open if remote is not None else None,
    )
    cache_folder = worker_flags.compiled_cache()
    options = replace(
        options,
        compiled=CompiledCache(cache_folder) if cache_folder is not None else None,
        load_cpu_share=worker_flags.LOAD_CPU_SHARE.value,
    )
    event_log = open_event_log(worker_flags.EVENT_LOG.value)
    items = ItemActivity(event_log, store, clock, metrics)
    builder = EngineBuilder(guarded, clock, metrics, options, items)
    deltas = _path(worker_flags.DELTA_CACHE) or default_cache(registry)
    prepared = [
        f"--delta_cache={deltas}",
        f"--compiled_cache={cache_folder or ''}",
        f"--scorer_precision={precision}",
    ]
    warmer = ReleaseWarmer(key, prepared, user_cache())
    complete = DeltaCache(deltas).complete

    def cancel_loads() -> None:
        warmer.close()
        builder.cancel()

    return RankerParts(
        source=source,
        loader=Loader(key, builder.build, warmer.verify, complete, warmer.turn),
        store=store,
        event_log=event_log,
        items=items,
        breakers=breakers,
        clock=clock,
        metrics=metrics,
        on_veto=_veto_writer(registry, clock),
        experiments=_experiments(metrics),
        cancel_loads=cancel_loads,
    )


def _experiments(metrics: Metrics) -> LiveExperiments | None:
    path = _path(worker_flags.EXPERIMENTS)
    return LiveExperiments(path, metrics) if path is not None else None


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
            admin_door(),
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
        event_log_max_bytes=int(worker_flags.EVENT_LOG_MAX_GIB.value * (1 << 30)),
        apply_wait_seconds=worker_flags.APPLY_WAIT_MS.value / 1_000,
        ladder=with_constants(ladder, pinned.constants.ladder),
        forced_tier=TIER_OF_WIRE.get(pinned.tier),
        audit_log=worker_flags.audit_log(),
        rollback_log=worker_flags.rollback_log(),
        shadow_log=worker_flags.shadow_log(),
        admin_tcp_role=worker_flags.admin_tcp_role(),
        updater_lock=worker_flags.updater_lock(),
        logged=LoggedShares(
            round(worker_flags.SERVED_FEATURES_SHARE.value * 1_000_000),
            round(worker_flags.REPLAYABLE_SHARE.value * 1_000_000),
        ),
        releases=ManagerOptions(keep_previous=worker_flags.KEEP_PREVIOUS.value),
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
    keep_large_blocks_apart()
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
