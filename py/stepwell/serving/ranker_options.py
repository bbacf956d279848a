"""What a ranker is told and what it stands on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from stepwell.base.metrics import Metrics
from stepwell.degradation.circuit_breaker import CircuitBreaker
from stepwell.degradation.controller import LadderOptions
from stepwell.degradation.tier import Tier
from stepwell.feedback.item_activity import ItemActivity
from stepwell.feedback.log_retention import DEFAULT_KEEP_DAYS, DEFAULT_MAX_BYTES
from stepwell.releases.loader import Loader
from stepwell.releases.manager import ManagerOptions
from stepwell.releases.source import Source
from stepwell.serving.admin_gate import Role
from stepwell.serving.canary_watch import LOOK_SECONDS
from stepwell.serving.engine import Engine
from stepwell.serving.event_clock import EventClock
from stepwell.serving.live_experiments import LiveExperiments
from stepwell.serving.server import Listen
from stepwell.serving.shown_slates import LoggedShares
from stepwell.stores.event_log import EventLog
from stepwell.stores.key_value_store import KeyValueStore


@dataclass(frozen=True, slots=True)
class RankerOptions:
    """Settings of the process.

    Attributes:
        listen: of callers and of the operator.
        metrics_host, metrics_port: of the metrics page.
        default_deadline_us: for calls that bring none.
        num_workers: threads that answer; one per core is enough.
        max_queue_size: calls that may wait.
        poll_seconds: pause between looks at the registry.
        canary_look_seconds: pause between looks at a canary's answers.
        drain_seconds: what calls in flight have to finish in.
        apply_wait_seconds: longest that LogEvents waits for user state to know the
            events; they are durable before.
        event_retention_days: age at which the event log forgets what was applied.
        event_log_max_bytes: size beyond which it forgets the oldest of it.
        ladder: budget and shares.
        deadline_required: a call that brings no deadline is INVALID_ARGUMENT.
        forced_tier: pinned from the start; None leaves the choice to the ladder.
        audit_log: file of the operator's actions; None keeps log lines only.
        rollback_log: the same of canaries that guardrails took down; it may be the same
            file, and that of other processes.
        admin_tcp_role: of callers who come to the operator's door over TCP.
        updater_lock: file that lets one process at a time fold events; None where no
            other process does.
        shadow_log: file of what a canary in shadow made of requests; None keeps none.
        logged: shares of the answers whose features and inputs the event log keeps.
        releases: how many are held.
    """

    listen: Listen = field(default_factory=Listen)
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    default_deadline_us: int = 200_000
    num_workers: int = 1
    max_queue_size: int = 512
    poll_seconds: float = 5.0
    canary_look_seconds: float = LOOK_SECONDS
    drain_seconds: float = 8.0
    apply_wait_seconds: float = 0.05
    event_retention_days: int = DEFAULT_KEEP_DAYS
    event_log_max_bytes: int = DEFAULT_MAX_BYTES
    ladder: LadderOptions = field(default_factory=LadderOptions)
    deadline_required: bool = False
    forced_tier: Tier | None = None
    audit_log: Path | None = None
    rollback_log: Path | None = None
    admin_tcp_role: Role = Role.OPERATOR
    updater_lock: Path | None = None
    shadow_log: Path | None = None
    logged: LoggedShares = field(default_factory=LoggedShares)
    releases: ManagerOptions = field(default_factory=ManagerOptions)


@dataclass(frozen=True, slots=True)
class RankerParts:
    """What the process stands on; it closes the store and the log at its end.

    Attributes:
        source, loader: of releases.
        store: online features, as the updater writes them.
        event_log: of events and impressions.
        items: what the log says of items, as the engines show it.
        breakers: by dependency; those that the engine's store is guarded by.
        clock, metrics: shared by everything.
        on_veto: writes down that a canary was taken down: (serial, reason, evidence).
        experiments: that run; None where there are none.
        cancel_loads: has the loader end what it is at.
    """

    source: Source
    loader: Loader[Engine]
    store: KeyValueStore
    event_log: EventLog
    items: ItemActivity
    breakers: dict[str, CircuitBreaker]
    clock: EventClock
    metrics: Metrics
    on_veto: Callable[[int, str, str], None] = field(default=lambda *_: None)
    experiments: LiveExperiments | None = None
    cancel_loads: Callable[[], None] | None = None
