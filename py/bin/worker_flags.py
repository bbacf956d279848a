"""The ranker's flags, for the process that serves and for the one that supervises."""

from pathlib import Path

from absl import flags

from stepwell.base.user_cache import user_cache
from stepwell.feedback.log_retention import DEFAULT_KEEP_DAYS, DEFAULT_MAX_BYTES
from stepwell.models.precision import DEFAULT_PRECISION
from stepwell.serving.admin_gate import Role
from stepwell.stores.locations import DEFAULT_HOP_MS

REGISTRY = flags.DEFINE_string(
    "registry",
    None,
    "Folder of published releases, or where fsspec finds one: s3://bucket/registry.",
)
REGISTRY_CACHE = flags.DEFINE_string(
    "registry_cache",
    None,
    "Folder on this machine for what is wanted of a far registry; default: one in "
    "the user's cache folder.",
)
RELEASE_DIR = flags.DEFINE_string(
    "release_dir", None, "One published release, in place of a registry."
)
TRUSTED_KEY = flags.DEFINE_string(
    "trusted_key", None, "Public key of releases; default: the registry's own."
)
DELTA_CACHE = flags.DEFINE_string(
    "delta_cache",
    None,
    "Folder where releases stored as deltas are made whole, of this registry alone; on "
    "its file system unchanged files are links. Default: in ~/.cache/stepwell.",
)
STORE = flags.DEFINE_string(
    "store",
    None,
    "Online features: a folder, redis://host:port/0 or "
    "redis-cluster://host:port,host:port.",
    required=True,
)
EVENT_LOG = flags.DEFINE_string(
    "event_log", None, "Event log: a folder or redis://host:port/0.", required=True
)
STORE_HOP_MS = flags.DEFINE_integer(
    "store_hop_ms",
    DEFAULT_HOP_MS,
    "Longest that a request's read of online features may take; slower ones count "
    "against the store. A request with less time left waits less.",
    1,
    60_000,
)
CONFIG = flags.DEFINE_string(
    "config",
    None,
    "YAML file of the ladder's and the tiers' constants, see docs/configuration.md; "
    "a flag that is given wins over it.",
)
HOST = flags.DEFINE_string("host", "127.0.0.1", "Address that callers reach.")
PORT = flags.DEFINE_integer(
    "port", 0, "Port of callers; 0 takes a free one.", 0, 65_535
)
METRICS_HOST = flags.DEFINE_string("metrics_host", "127.0.0.1", "Address of /metrics.")
METRICS_PORT = flags.DEFINE_integer(
    "metrics_port", 0, "Port of /metrics; 0: a free one.", 0, 65_535
)
AUTO = "auto"
ADMIN_SOCKET = flags.DEFINE_string(
    "admin_socket",
    AUTO,
    "Unix socket of AdminService, mode 0600: who may open it is an operator. auto: one "
    "in a folder of this user alone; empty: none.",
)
ADMIN_PORT = flags.DEFINE_integer(
    "admin_port",
    -1,
    "Port of AdminService too, always on loopback; 0 takes a free one, -1 opens none.",
    -1,
    65_535,
)
ADMIN_PORT_ROLE = flags.DEFINE_enum(
    "admin_port_role",
    "reader",
    ["reader", "operator"],
    "What callers of --admin_port may do, any user of this machine among them: look, "
    "or change too.",
)
EVENT_CLOCK = flags.DEFINE_enum(
    "event_clock",
    "wall",
    ["wall", "release"],
    "Now, for features: wall time, or time that begins at the release's data watermark "
    "(for historical data).",
)
LATENCY_BUDGET_MS = flags.DEFINE_integer(
    "latency_budget_ms", 100, "Time from arrival to answer to plan for.", 1, 60_000
)
DEFAULT_DEADLINE_MS = flags.DEFINE_integer(
    "default_deadline_ms", 200, "Deadline of calls that bring none.", 1, 60_000
)
WORKERS = flags.DEFINE_integer(
    "workers",
    1,
    "Processes that answer on the one port; a supervisor starts, restarts and drains "
    "them. 1 is this process alone.",
    1,
    64,
)
THREADS = flags.DEFINE_integer(
    "threads", 1, "Threads that answer, in each process.", 1, 64
)
MAX_QUEUE_SIZE = flags.DEFINE_integer(
    "max_queue_size", 512, "Calls waiting, in each process.", 1
)
POLL_SECONDS = flags.DEFINE_float(
    "poll_seconds", 5.0, "Pause between looks at the registry.", 0.01, 3_600
)
POLICY = flags.DEFINE_string(
    "policy", None, "JSON file of what may be shown, see reranking/policy_filter.py."
)
HIDE_PURCHASED_DAYS = flags.DEFINE_integer(
    "hide_purchased_days",
    0,
    "Do not show what the user bought in so many days; 0 shows it (groceries).",
    0,
    3_650,
)
EXPERIMENTS = flags.DEFINE_string(
    "experiments",
    None,
    "JSON file of experiments, see docs/experiments.md; read again when it changes.",
)
APPLY_WAIT_MS = flags.DEFINE_integer(
    "apply_wait_ms",
    50,
    "Longest that LogEvents waits, its events on disk, for user state to know them.",
    0,
    60_000,
)
EVENT_RETENTION_DAYS = flags.DEFINE_integer(
    "event_retention_days",
    DEFAULT_KEEP_DAYS,
    "The event log forgets what it took in longer ago and is in user state; with it "
    "goes the knowledge that it was there: sent again, it is stored again.",
    1,
    3_650,
)
EVENT_LOG_MAX_GIB = flags.DEFINE_float(
    "event_log_max_gib",
    DEFAULT_MAX_BYTES / (1 << 30),
    "The event log forgets the oldest of what is in user state while it is larger; an "
    "embedded one has room for 16, and when it is full takes no event.",
    0.01,
    16_384.0,
)
SERVED_FEATURES_SHARE = flags.DEFINE_float(
    "served_features_share",
    1.0,
    "Of the answers that ran stages, those whose impression keeps the features of the "
    "items shown: some 5 KB each in the event log.",
    0.0,
    1.0,
)
REPLAYABLE_SHARE = flags.DEFINE_float(
    "replayable_share",
    0.01,
    "Of the same answers, those whose impression keeps all that the request read, so "
    "that it can be replayed to the bit: some 50 KB each.",
    0.0,
    1.0,
)
SCORER_PRECISION = flags.DEFINE_string(
    "scorer_precision",
    DEFAULT_PRECISION,
    "Of the full ranker's products: float32, bfloat16 or int8. The latter two shift "
    "scores by some 0.01 and keep a record of every item; where the processor lacks "
    "the instructions it is float32, and the log says so.",
)
KEEP_PREVIOUS = flags.DEFINE_boolean(
    "keep_previous",
    True,
    "Hold the release before the live one too: a rollback to it needs no load then, "
    "and costs its memory.",
)
COMPILED_CACHE = flags.DEFINE_string(
    "compiled_cache",
    None,
    "Folder of rankers in the form that serves them, made here of verified releases; "
    "default: compiled in the user's cache folder, and an empty flag keeps none.",
)
LOAD_CPU_SHARE = flags.DEFINE_float(
    "load_cpu_share",
    0.05,
    "Of one core, that loading a release may take while another one answers.",
    0.01,
    1.0,
)
RETRIEVAL_SHARDS = flags.DEFINE_string(
    "retrieval_shards",
    None,
    "Search these retrieval_main processes in place of the release's index, whose file "
    "is not opened then: host:port of each shard in its order, by comma; replicas of a "
    "shard by bar, as in a:1|b:1,a:2|b:2.",
)
RETRIEVAL_HOP_MS = flags.DEFINE_integer(
    "retrieval_hop_ms", 50, "Longest that a search of the shards may take.", 1, 60_000
)
READY_FILE = flags.DEFINE_string(
    "ready_file", None, "Also write the JSON line here, in one rename."
)
AUDIT_LOG = flags.DEFINE_string(
    "audit_log",
    None,
    "File of what operators change; default: audit.jsonl in the event log's folder, "
    "none where that is no folder.",
)
ROLLBACK_LOG = flags.DEFINE_string(
    "rollback_log",
    None,
    "File of the canaries that guardrails took down; default: --audit_log. The "
    "supervisor's word: it takes operators down itself, and its workers canaries.",
)
SHADOW_LOG = flags.DEFINE_string(
    "shadow_log",
    None,
    "File of what a canary in shadow made of requests, JSON lines; default: "
    "shadow.jsonl in the event log's folder, none where that is no folder.",
)
UPDATER_LOCK = flags.DEFINE_string(
    "updater_lock",
    None,
    "File that lets one of the processes on a store fold events at a time; default: "
    "updater.lock in the store's folder, and none where that is no folder.",
)
PARENT_PID = flags.DEFINE_integer(
    "parent_pid", 0, "Drain when this process, the parent, is gone; 0: never.", 0
)
SHARED_PORT = flags.DEFINE_boolean(
    "shared_port", False, "Other processes listen on --port too; the supervisor's word."
)
SIBLINGS = flags.DEFINE_string(
    "siblings", None, "Seat among those on --port; the supervisor's word."
)
PINNED_STATE = flags.DEFINE_string(
    "pinned_state", None, "What operators changed before; the supervisor's word."
)


def admin_tcp_role() -> Role:
    """Returns the role of who comes to AdminService over TCP."""
    return Role[ADMIN_PORT_ROLE.value.upper()]


def audit_log() -> Path | None:
    """Returns the file of the audit log; an empty flag means none."""
    return _beside(AUDIT_LOG, EVENT_LOG, "audit.jsonl")


def rollback_log() -> Path | None:
    """Returns the file of canaries taken down; an empty flag means the audit log's."""
    return Path(ROLLBACK_LOG.value) if ROLLBACK_LOG.value else audit_log()


def shadow_log() -> Path | None:
    """Returns the file of what shadows made of requests; an empty flag means none."""
    return _beside(SHADOW_LOG, EVENT_LOG, "shadow.jsonl")


def updater_lock() -> Path | None:
    """Returns the file whose lock is the updater's turn; an empty flag means none."""
    return _beside(UPDATER_LOCK, STORE, "updater.lock")


def compiled_cache() -> Path | None:
    """Returns the folder of compiled rankers; an empty flag means none."""
    if COMPILED_CACHE.value is not None:
        return Path(COMPILED_CACHE.value) if COMPILED_CACHE.value else None
    return user_cache() / "compiled"


def _beside(
    flag: "flags.FlagHolder[str | None]",
    location: "flags.FlagHolder[str | None]",
    name: str,
) -> Path | None:
    if flag.value is not None:
        return Path(flag.value) if flag.value else None
    folder = location.value or ""
    return None if not folder or "://" in folder else Path(folder) / name
