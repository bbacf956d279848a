"""ranker_main: serves recommendations from the newest release of a registry.

    ranker_main --registry=DIR --store=DIR_OR_REDIS_URL --event_log=DIR_OR_REDIS_URL

Prints one JSON line {"port": ..., "metrics_port": ..., "admin_port": ..., ...} once
health says SERVING. SIGTERM and SIGINT drain: health turns NOT_SERVING, calls in flight
finish, the event log is flushed, exit 0.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar, cast

from absl import app, flags

# Read by OpenMP when torch is loaded: requests are the unit of parallelism here.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import structlog

from serving_config import ServingConfig
from stepwell.base.errors import StepwellError
from stepwell.base.metrics import Metrics
from stepwell.degradation.circuit_breaker import BreakerOptions, CircuitBreaker
from stepwell.feedback.log_retention import DEFAULT_KEEP_DAYS
from stepwell.models.packed_mlp import PRECISIONS, Precision
from stepwell.releases.loader import Loader, trusted_key
from stepwell.releases.source import DirectorySource, ReleaseDirectory, Source
from stepwell.reranking.policy_filter import PolicyRules
from stepwell.reranking.stage import RerankingOptions
from stepwell.retrieval.shard_pool import PoolOptions, parse_shards
from stepwell.serving.engine_builder import EngineBuilder, EngineOptions
from stepwell.serving.event_clock import EventClock
from stepwell.serving.guarded_store import GuardedStore
from stepwell.serving.ranker import Ranker, RankerOptions, RankerParts, Ready
from stepwell.serving.remote_index import RemoteIndex
from stepwell.serving.server import Listen
from stepwell.stores.locations import (
    DEFAULT_HOP_MS,
    open_event_log,
    open_key_value_store,
)

_REGISTRY = flags.DEFINE_string("registry", None, "Folder of published releases.")
_RELEASE_DIR = flags.DEFINE_string(
    "release_dir", None, "One published release, in place of a registry."
)
_TRUSTED_KEY = flags.DEFINE_string(
    "trusted_key", None, "Public key of releases; default: the registry's own."
)
_STORE = flags.DEFINE_string(
    "store", None, "Online features: a folder or redis://host:port/0.", required=True
)
_EVENT_LOG = flags.DEFINE_string(
    "event_log", None, "Event log: a folder or redis://host:port/0.", required=True
)
_CONFIG = flags.DEFINE_string(
    "config",
    None,
    "YAML file of the ladder's and the tiers' constants, see docs/configuration.md; "
    "a flag that is given wins over it.",
)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address that callers reach.")
_PORT = flags.DEFINE_integer(
    "port", 0, "Port of callers; 0 takes a free one.", 0, 65_535
)
_METRICS_HOST = flags.DEFINE_string("metrics_host", "127.0.0.1", "Address of /metrics.")
_METRICS_PORT = flags.DEFINE_integer(
    "metrics_port", 0, "Port of /metrics; 0: a free one.", 0, 65_535
)
_ADMIN_PORT = flags.DEFINE_integer(
    "admin_port",
    0,
    "Port of AdminService, always on loopback; 0 takes a free one.",
    0,
    65_535,
)
_EVENT_CLOCK = flags.DEFINE_enum(
    "event_clock",
    "wall",
    ["wall", "release"],
    "Now, for features: wall time, or time that begins at the release's data watermark "
    "(for historical data).",
)
_LATENCY_BUDGET_MS = flags.DEFINE_integer(
    "latency_budget_ms", 100, "Time from arrival to answer to plan for.", 1, 60_000
)
_DEFAULT_DEADLINE_MS = flags.DEFINE_integer(
    "default_deadline_ms", 200, "Deadline of calls that bring none.", 1, 60_000
)
_WORKERS = flags.DEFINE_integer("workers", 1, "Threads that answer.", 1, 64)
_MAX_QUEUE_SIZE = flags.DEFINE_integer("max_queue_size", 512, "Calls waiting.", 1)
_POLL_SECONDS = flags.DEFINE_float(
    "poll_seconds", 5.0, "Pause between looks at the registry.", 0.01, 3_600
)
_POLICY = flags.DEFINE_string(
    "policy", None, "JSON file of what may be shown, see reranking/policy_filter.py."
)
_HIDE_PURCHASED_DAYS = flags.DEFINE_integer(
    "hide_purchased_days",
    0,
    "Do not show what the user bought in so many days; 0 shows it (groceries).",
    0,
    3_650,
)
_APPLY_WAIT_MS = flags.DEFINE_integer(
    "apply_wait_ms",
    50,
    "Longest that LogEvents waits, its events on disk, for user state to know them.",
    0,
    60_000,
)
_EVENT_RETENTION_DAYS = flags.DEFINE_integer(
    "event_retention_days",
    DEFAULT_KEEP_DAYS,
    "The event log forgets what it took in longer ago and is in user state; with it "
    "goes the knowledge that it was there: sent again, it is stored again.",
    1,
    3_650,
)
_SCORER_PRECISION = flags.DEFINE_enum(
    "scorer_precision",
    "float32",
    list(PRECISIONS),
    "Of the full ranker's products; bfloat16 is faster and shifts scores by some 0.01. "
    "Where the processor lacks the instructions it is float32, and the log says so.",
)
_RETRIEVAL_SHARDS = flags.DEFINE_string(
    "retrieval_shards",
    None,
    "Search these retrieval_main processes in place of the release's index, whose file "
    "is not opened then: host:port of each shard in its order, by comma; replicas of a "
    "shard by bar, as in a:1|b:1,a:2|b:2.",
)
_RETRIEVAL_HOP_MS = flags.DEFINE_integer(
    "retrieval_hop_ms", 50, "Longest that a search of the shards may take.", 1, 60_000
)
_READY_FILE = flags.DEFINE_string(
    "ready_file", None, "Also write the JSON line here, in one rename."
)


def _source() -> tuple[Source, Path]:
    """Returns where releases come from, and the registry whose key signs them."""
    if _RELEASE_DIR.value:
        directory = Path(_RELEASE_DIR.value).resolve()
        return ReleaseDirectory(directory), directory.parent
    registry = Path(_REGISTRY.value or ".")
    return DirectorySource(registry), registry


def _remote_index(clock: EventClock, metrics: Metrics) -> RemoteIndex | None:
    """The shards that the flags name; None searches in this process."""
    if not _RETRIEVAL_SHARDS.value:
        return None
    options = PoolOptions(hop_us=_RETRIEVAL_HOP_MS.value * 1_000)
    return RemoteIndex(parse_shards(_RETRIEVAL_SHARDS.value), clock, metrics, options)


def _config() -> ServingConfig:
    return ServingConfig.read(Path(_CONFIG.value)) if _CONFIG.value else ServingConfig()


T = TypeVar("T")


def _chosen(flag: "flags.FlagHolder[T]", configured: T | None) -> T:
    """The flag where it was given, else the file's value, else the flag's default."""
    return flag.value if flag.present or configured is None else configured


def _parts(config: ServingConfig) -> RankerParts:
    clock = EventClock(follows_releases=_EVENT_CLOCK.value == "release")
    metrics = Metrics()
    source, registry = _source()
    key_file = Path(_TRUSTED_KEY.value) if _TRUSTED_KEY.value else None
    key = trusted_key(registry, key_file)
    store = open_key_value_store(_STORE.value)
    breaker = CircuitBreaker(
        config.breaker_options(
            "store", BreakerOptions(slow_call_us=DEFAULT_HOP_MS * 1_000)
        )
    )
    guarded = GuardedStore(store, breaker, clock)
    breakers = {"store": breaker}
    remote = _remote_index(clock, metrics)
    if remote is not None:
        breakers["index"] = remote.breaker
    rules = PolicyRules.read(Path(_POLICY.value)) if _POLICY.value else PolicyRules()
    window = RerankingOptions(
        purchase_window_seconds=_HIDE_PURCHASED_DAYS.value * 86_400
    )
    precision = _chosen(_SCORER_PRECISION, config.scorer.precision)
    options = EngineOptions(
        planner=config.planner_options(),
        policy=rules,
        reranking=window,
        scorer_precision=cast(Precision, precision),
        open_index=remote.open if remote is not None else None,
    )
    builder = EngineBuilder(guarded, clock, metrics, options)
    return RankerParts(
        source=source,
        loader=Loader(key, builder.build),
        store=store,
        event_log=open_event_log(_EVENT_LOG.value),
        breakers=breakers,
        clock=clock,
        metrics=metrics,
    )


def _options(config: ServingConfig) -> RankerOptions:
    ladder = config.ladder_options()
    budget_ms = _chosen(_LATENCY_BUDGET_MS, config.latency_budget_ms)
    deadline_ms = _chosen(_DEFAULT_DEADLINE_MS, config.deadline.default_ms)
    return RankerOptions(
        listen=Listen(_HOST.value, _PORT.value, _ADMIN_PORT.value),
        metrics_host=_METRICS_HOST.value,
        metrics_port=_METRICS_PORT.value,
        default_deadline_us=deadline_ms * 1_000,
        num_workers=_WORKERS.value,
        max_queue_size=_chosen(_MAX_QUEUE_SIZE, config.queue.max_size),
        poll_seconds=_POLL_SECONDS.value,
        event_retention_days=_EVENT_RETENTION_DAYS.value,
        apply_wait_seconds=_APPLY_WAIT_MS.value / 1_000,
        ladder=replace(ladder, latency_budget_us=budget_ms * 1_000),
    )


def _announce(ready: Ready) -> None:
    line = json.dumps({**asdict(ready), "pid": os.getpid()})
    print(line, flush=True)
    if _READY_FILE.value:
        path = Path(_READY_FILE.value)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(line + "\n")
        temporary.rename(path)


async def _serve() -> None:
    # The event loop gets the interpreter back from a busy worker within 1 ms, not 5.
    sys.setswitchinterval(0.001)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = _config()
    await Ranker(_parts(config), _options(config)).run(stop, _announce)


def _log_as_json() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def main(argv: Sequence[str]) -> int:
    """Serves until a signal; returns 1 when it cannot start, 2 for wrong flags."""
    if len(argv) > 1 or bool(_REGISTRY.value) == bool(_RELEASE_DIR.value):
        what = argv[1] if len(argv) > 1 else "give one of --registry and --release_dir"
        print(f"ranker_main: {what}", file=sys.stderr)
        return 2
    _log_as_json()
    try:
        asyncio.run(_serve())
    except (StepwellError, OSError) as error:
        print(f"ranker_main: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    app.run(main)
