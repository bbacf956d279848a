"""Every metric of Stepwell: name, kind, labels and one line of meaning.

`stepwell_<room>_<noun>_<unit>`; base units (seconds, bytes, ratios). A metric that is
not in this table cannot be made, so this page is the whole list.
"""

from stepwell.base.metric_spec import RATIO_EDGES, MetricSpec
from stepwell.base.metric_spec import ages as _ages
from stepwell.base.metric_spec import counter as _counter
from stepwell.base.metric_spec import edged as _edged
from stepwell.base.metric_spec import gauge as _gauge
from stepwell.base.metric_spec import histogram as _histogram

# serving
GRPC_HANDLED = _counter(
    "grpc_server_handled_total",
    "RPCs completed, by outcome.",
    "grpc_service",
    "grpc_method",
    "grpc_code",
)
GRPC_HANDLING = _histogram(
    "grpc_server_handling_seconds",
    "Time from arrival to answer of an RPC.",
    "grpc_service",
    "grpc_method",
)
STAGE_SECONDS = _histogram(
    "stepwell_serving_stage_seconds", "Time spent in one stage of a request.", "stage"
)
ANSWERS = _counter(
    "stepwell_serving_answers_total",
    "Slates answered, by the tier that made them.",
    "tier",
)
ANSWER_SECONDS = _histogram(
    "stepwell_serving_answer_seconds",
    "Time in the server from arrival to slate.",
    "tier",
)
IN_FLIGHT = _gauge(
    "stepwell_serving_in_flight_requests",
    "Calls that wait for a worker or that one works on.",
)
SERVING_READY = _gauge("stepwell_serving_ready_ratio", "1 while health says SERVING.")
VALIDATION_FAILURES = _counter(
    "stepwell_serving_invalid_arguments_total", "Requests refused by field.", "field"
)

# front
FRONT_CONNECTIONS = _gauge(
    "stepwell_front_open_connections", "Connections of callers, now."
)
FRONT_REJECTED = _counter(
    "stepwell_front_rejected_calls_total",
    "Calls that broke a rule of the wire before any method had them, by cause.",
    "cause",
)
FRONT_REJECTED_CONNECTIONS = _counter(
    "stepwell_front_rejected_connections_total",
    "Connections closed at once: there were as many as may be.",
)
FRONT_GIVEN_CONNECTIONS = _counter(
    "stepwell_front_given_connections_total",
    "Connections handed to another worker of the port that had fewer.",
)
FRONT_UNUSABLE_CONNECTIONS = _counter(
    "stepwell_front_unusable_connections_total",
    "What another worker handed over and was no connection; closed at once.",
)
FRONT_CANCELLED = _counter(
    "stepwell_front_cancelled_calls_total",
    "Calls whose callers left before the answer, in the queue or later.",
)
FRONT_RECEIVED_BYTES = _counter(
    "stepwell_front_received_bytes_total", "Read from callers' connections."
)
FRONT_SENT_BYTES = _counter(
    "stepwell_front_sent_bytes_total", "Written to callers' connections."
)

# degradation
DEGRADATION_REASONS = _counter(
    "stepwell_degradation_reasons_total", "Reasons given in answers.", "reason"
)
QUEUE_LENGTH = _gauge(
    "stepwell_degradation_queue_length_requests", "Requests waiting.", "priority"
)
QUEUE_AGE = _gauge(
    "stepwell_degradation_queue_oldest_age_seconds",
    "Age of the oldest waiting request.",
)
QUEUE_SECONDS = _histogram(
    "stepwell_degradation_queue_wait_seconds", "Time a request waited for a worker."
)
REFUSALS = _counter(
    "stepwell_degradation_refusals_total",
    "Requests shed or expired, by cause.",
    "cause",
)
TIER_COST_P95 = _gauge(
    "stepwell_degradation_tier_cost_p95_seconds", "p95 cost used for a tier.", "tier"
)
TIER_COST_MEAN = _gauge(
    "stepwell_degradation_tier_cost_mean_seconds", "Mean cost used for a tier.", "tier"
)
FIT_RATIO = _gauge(
    "stepwell_degradation_fit_ratio", "Share of the budget a request may plan for."
)
BREAKER_OPEN = _gauge(
    "stepwell_degradation_breaker_open_ratio",
    "1 open, 0.5 probing, 0 closed.",
    "dependency",
)
SLATE_CACHE_USERS = _gauge(
    "stepwell_degradation_slate_cache_entries", "Users whose last slate is in memory."
)

# retrieval
SOURCE_FAILURES = _counter(
    "stepwell_retrieval_source_failures_total",
    "Candidate sources that were late or failed, by source and error.",
    "source",
    "error",
)
INDEX_SEARCH_SECONDS = _histogram(
    "stepwell_retrieval_index_search_seconds",
    "Time of one search of an index, all its queries; waiting is not in it.",
)
INDEX_SEARCHES_TRUNCATED = _counter(
    "stepwell_retrieval_index_searches_truncated_total",
    "Queries answered with what was found when their time was over.",
)
INDEX_ITEMS = _gauge(
    "stepwell_retrieval_index_items", "Items that a search of the index can return."
)
INDEX_TOMBSTONES = _gauge(
    "stepwell_retrieval_index_tombstones",
    "Deleted or replaced items that are still in the graph.",
)
INDEX_MEMORY = _gauge(
    "stepwell_retrieval_index_memory_bytes",
    "Memory of the index: vectors, codes, graph and labels.",
)
SHARD_COVERAGE = _gauge(
    "stepwell_retrieval_shard_coverage_ratio",
    "Share of the items whose shard answered, in the latest search.",
)
SHARD_FAILURES = _counter(
    "stepwell_retrieval_shard_failures_total",
    "Calls to a shard of the index that gave no answer, by cause.",
    "cause",
)
SHARD_RETRIES = _counter(
    "stepwell_retrieval_shard_retries_total",
    "Second attempts at a shard of the index after a failure.",
)
SHARD_HEDGES = _counter(
    "stepwell_retrieval_shard_hedges_total",
    "Second attempts at a shard of the index because the first was slow.",
)
RECALL_AT_K = _gauge(
    "stepwell_retrieval_recall_at_k",
    "Share of the truly nearest items that live searches find, mean of the latest.",
)
RECALL_PROBES = _counter(
    "stepwell_retrieval_recall_probes_total",
    "Live searches drawn to be answered again exactly, by what came of it.",
    "outcome",
)

# features
DEFAULTED_VIEWS = _counter(
    "stepwell_features_defaulted_views_total",
    "Views answered by their default.",
    "view",
)
STALE_VIEWS = _counter(
    "stepwell_features_stale_views_total",
    "Views too old to be used, by what was done: default, baseline or drop_tier.",
    "view",
    "action",
)
REFUSED_ROWS = _counter(
    "stepwell_features_refused_rows_total",
    "Stored rows left out: damaged, of another schema, or from the future.",
    "view",
    "reason",
)
ROW_AGE = _ages(
    "stepwell_features_row_age_seconds",
    "Age of a view's row at the request's event time, as it was read.",
    "view",
)
WRITER_AGE = _gauge(
    "stepwell_features_writer_age_seconds",
    "How far behind the event log a view's writer is; +Inf when it never said.",
    "view",
)

# reranking
POLICY_FAILURES = _counter(
    "stepwell_reranking_policy_failures_total",
    "Policy lookups that failed, so that nothing was shown.",
)
POLICY_UNKNOWN_VALUES = _counter(
    "stepwell_reranking_policy_unknown_values_total",
    "Denied values that no item of a release has, when its policy was built.",
)

# feedback
EVENTS_STORED = _counter(
    "stepwell_feedback_events_stored_total", "Events made durable and acknowledged."
)
EVENTS_DUPLICATE = _counter(
    "stepwell_feedback_events_duplicate_total", "Events that were already stored."
)
EVENT_BATCHES_REFUSED = _counter(
    "stepwell_feedback_event_batches_refused_total",
    "Batches refused for an event that breaks a limit, by the event's field.",
    "field",
)
IMPRESSIONS_LOGGED = _counter(
    "stepwell_feedback_impressions_logged_total", "Slates written to the event log."
)
IMPRESSIONS_DROPPED = _counter(
    "stepwell_feedback_impressions_dropped_total",
    "Slates not written because the log's queue was full or failed.",
)
EVENTS_APPLIED = _counter(
    "stepwell_feedback_events_applied_total", "Events folded into online user state."
)
EVENTS_SKIPPED = _counter(
    "stepwell_feedback_events_skipped_total",
    "Events left out of user state because they or the state could not be read.",
)
EVENTS_LATE = _counter(
    "stepwell_feedback_events_late_total",
    "Events too old for a view's window, left out of that view.",
    "view",
)
ROWS_BEGUN_ANEW = _counter(
    "stepwell_feedback_rows_begun_anew_total",
    "Stored rows of another schema in whose place the updater began new ones.",
    "view",
)
ITEMS_LEFT_OUT = _counter(
    "stepwell_feedback_items_left_out_total",
    "Events of items for which the state of items had no more room.",
)
UPDATER_PAUSED = _gauge(
    "stepwell_feedback_updater_paused_ratio",
    "1 while user state is being replaced and follows no events.",
)
EVENT_LOG_SIZE = _gauge(
    "stepwell_feedback_event_log_size_bytes",
    "Space that the event log's events and ids take.",
)
EVENTS_TRIMMED = _counter(
    "stepwell_feedback_events_trimmed_total",
    "Lines of the event log forgotten because of their age.",
)

# embeddings
EMBEDDING_CACHE_HITS = _counter(
    "stepwell_embeddings_cache_hits_total", "Embedding rows found in the row cache."
)
EMBEDDING_CACHE_MISSES = _counter(
    "stepwell_embeddings_cache_misses_total", "Embedding rows asked of a shard."
)
EMBEDDING_FAILURES = _counter(
    "stepwell_embeddings_shard_failures_total",
    "Calls to an embedding shard that gave no rows, by cause.",
    "cause",
)
EMBEDDING_RETRIES = _counter(
    "stepwell_embeddings_shard_retries_total",
    "Second attempts at an embedding shard.",
)

# releases
RELEASE_SERIAL = _gauge(
    "stepwell_releases_live_serial_number", "Serial of the live release."
)
RELEASE_STATE = _gauge(
    "stepwell_releases_state_ratio", "1 for the state the live release is in.", "state"
)
REFUSED_RELEASES = _gauge(
    "stepwell_releases_refused_number",
    "Releases this process would not load; the log says why, the live one stays.",
)
RELEASE_LOADS = _counter(
    "stepwell_releases_loads_total",
    "Loads of a release: ready, refused for good, or broken down and tried again.",
    "outcome",
)

CANARY_SERIAL = _gauge(
    "stepwell_releases_canary_serial_number",
    "Serial of the canary that is tried here, shown or in shadow; 0 without one.",
)
CANARY_ANSWERS = _gauge(
    "stepwell_releases_canary_answers_number",
    "Answers of the canary that guardrails have judged by, since it began.",
)
CANARY_ROLLBACKS = _counter(
    "stepwell_releases_canary_rollbacks_total",
    "Canaries that guardrails took down here, by the rule they broke.",
    "reason",
)
CANARY_RETRIES = _counter(
    "stepwell_releases_canary_retries_total",
    "Requests that the canary failed and the live release answered.",
)
SHADOW_REQUESTS = _counter(
    "stepwell_releases_shadow_requests_total",
    "Requests of a shadow's users: compared, dropped for lack of time, or failed.",
    "outcome",
)
SHADOW_SECONDS = _histogram(
    "stepwell_releases_shadow_service_seconds",
    "Time in the stages of requests that both ranked, by who: live or shadow.",
    "release",
)
SHADOW_OVERLAP = _edged(
    "stepwell_releases_shadow_overlap_ratio",
    "Share of the slate that live and shadow have in common.",
    RATIO_EDGES,
)
SHADOW_RANK_CORRELATION = _edged(
    "stepwell_releases_shadow_rank_correlation_ratio",
    "Spearman's correlation of the items that both slates have, -1 to 1.",
    (-0.5, *RATIO_EDGES),
)
SHADOW_SCORE_GAP = _edged(
    "stepwell_releases_shadow_score_gap_ratio",
    "Mean absolute difference of the scores of the items that both slates have.",
    (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
)

# ranking
RANKING_BATCHES = _counter(
    "stepwell_ranking_batches_total",
    "Calls of the full ranker where requests are batched, by requests in the call.",
    "requests",
)

# processes of one server
WORKERS_SERVING = _gauge(
    "stepwell_serving_live_workers_number", "Worker processes that serve, of several."
)
WORKER_RESTARTS = _counter(
    "stepwell_serving_worker_restarts_total",
    "Worker processes that ended without being asked to.",
)

# experiments
EXPERIMENTS_RUNNING = _gauge(
    "stepwell_experiments_running_number", "Experiments of the file that runs now."
)
EXPERIMENT_FILE_REFUSALS = _counter(
    "stepwell_experiments_refused_files_total",
    "Files of experiments that were refused; the log says why, those before go on.",
)

ALL_METRICS: tuple[MetricSpec, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, MetricSpec)
)
"""Every metric there is, in the order of this page."""
