"""Test targets of this room, apart because BUILD.bazel would be too long."""

load("//tools/bazel:defs.bzl", "stepwell_py_test")

def room_tests():
    """One target for each test file."""
    stepwell_py_test(
        name = "admin_fan_out_servicer_test",
        srcs = ["admin_fan_out_servicer_test.py"],
        deps = [
            ":admin_fan_out_servicer",
            ":audit_log",
            ":ladder_constants",
            ":single_service_server",
            ":tiny_ranker_fixture",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:metrics",
        ],
    )
    stepwell_py_test(
        name = "admin_gate_test",
        srcs = ["admin_gate_test.py"],
        deps = [
            ":admin_gate",
            ":admin_listener",
            ":server",
            ":tiny_ranker_fixture",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/releases:source",
        ],
    )
    stepwell_py_test(
        name = "admin_listener_test",
        srcs = ["admin_listener_test.py"],
        deps = [
            ":admin_listener",
            ":single_service_server",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metrics",
        ],
    )
    stepwell_py_test(
        name = "answer_metrics_test",
        srcs = ["answer_metrics_test.py"],
        deps = [
            ":answer_metrics",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/pipeline:candidate",
            "//py/stepwell/pipeline:query",
            "//py/stepwell/pipeline:slate",
        ],
    )
    stepwell_py_test(
        name = "audit_log_test",
        srcs = ["audit_log_test.py"],
        deps = [
            ":audit_log",
            "//py/stepwell/base:clock",
        ],
    )
    stepwell_py_test(
        name = "border_stream_test",
        srcs = ["border_stream_test.py"],
        deps = [
            ":border",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
        ],
    )
    stepwell_py_test(
        name = "border_test",
        srcs = ["border_test.py"],
        deps = [
            ":border",
            ":method_border",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
        ],
    )
    stepwell_py_test(
        name = "bounded_executor_test",
        srcs = ["bounded_executor_test.py"],
        deps = [
            ":bounded_executor",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "call_life_test",
        srcs = ["call_life_test.py"],
        deps = [
            ":tiny_ranker_fixture",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:metric_names",
        ],
    )
    stepwell_py_test(
        name = "call_test",
        srcs = ["call_test.py"],
        deps = [
            ":call",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/degradation:priority",
            "//py/stepwell/degradation:reasons",
            "//py/stepwell/degradation:tier",
        ],
    )
    stepwell_py_test(
        name = "canary_trial_test",
        srcs = ["canary_trial_test.py"],
        deps = [
            ":answering",
            ":call",
            ":canary_trial",
            ":engine",
            ":query_maker",
            ":release_outcomes",
            ":shadow",
            ":shown_slates",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metrics",
            "//py/stepwell/degradation:controller",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/degradation:tier_policy",
            "//py/stepwell/pipeline:query",
            "//py/stepwell/pipeline:slate",
            "//py/stepwell/releases:canary_route",
            "//py/stepwell/releases:handle",
            "//py/stepwell/releases:manifest",
        ],
    )
    stepwell_py_test(
        name = "canary_watch_test",
        srcs = ["canary_watch_test.py"],
        deps = [
            ":audit_log",
            ":canary_watch",
            ":release_outcomes",
            ":response_reader",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:deadline",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/feedback:logged_events",
            "//py/stepwell/pipeline:candidate",
            "//py/stepwell/pipeline:query",
            "//py/stepwell/pipeline:slate",
            "//py/stepwell/releases:canary_route",
            "//py/stepwell/stores:lmdb_event_log",
        ],
    )
    stepwell_py_test(
        name = "card_costs_test",
        srcs = ["card_costs_test.py"],
        deps = [
            ":card_costs",
            "//py/stepwell/base:errors",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/degradation:tier_policy",
        ],
    )
    stepwell_py_test(
        name = "degradation_log_test",
        srcs = ["degradation_log_test.py"],
        deps = [
            ":degradation_log",
            "//py/stepwell/base:clock",
            "//py/stepwell/degradation:reasons",
            "//py/stepwell/degradation:tier",
        ],
    )
    stepwell_py_test(
        name = "dispatcher_test",
        srcs = ["dispatcher_test.py"],
        deps = [
            ":dispatcher",
            "//py/stepwell/base:clock",
            "//py/stepwell/degradation:controller",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/degradation:tier_policy",
            "//py/stepwell/front:admission_queue",
            "//py/stepwell/front:call",
        ],
    )
    stepwell_py_test(
        name = "embedding_servicer_test",
        srcs = ["embedding_servicer_test.py"],
        deps = [
            ":embedding_servicer",
            ":single_service_server",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/embeddings:embedding_table",
            "//py/stepwell/embeddings:shard_map",
        ],
    )
    stepwell_py_test(
        name = "engine_test",
        srcs = ["engine_test.py"],
        deps = [
            ":engine",
            ":responses",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:deadline",
            "//py/stepwell/degradation:slate_cache",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/pipeline:candidate",
            "//py/stepwell/pipeline:executor",
            "//py/stepwell/pipeline:query",
            "//py/stepwell/pipeline:slate",
        ],
    )
    stepwell_py_test(
        name = "event_clock_test",
        srcs = ["event_clock_test.py"],
        deps = [":event_clock"],
    )
    stepwell_py_test(
        name = "event_stream_test",
        srcs = ["event_stream_test.py"],
        deps = [
            ":event_stream",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/stores:event_log",
        ],
    )
    stepwell_py_test(
        name = "feedback_servicer_test",
        srcs = ["feedback_servicer_test.py"],
        deps = [
            ":feedback_servicer",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metrics",
            "//py/stepwell/feedback:logged_events",
            "//py/stepwell/stores:lmdb_event_log",
        ],
    )
    stepwell_py_test(
        name = "front_counts_test",
        srcs = ["front_counts_test.py"],
        deps = [
            ":front_counts",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/front",
        ],
    )
    stepwell_py_test(
        name = "gauges_test",
        srcs = ["gauges_test.py"],
        deps = [
            ":engine",
            ":gauges",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/feedback:item_activity",
            "//py/stepwell/releases:loader",
            "//py/stepwell/releases:manager",
            "//py/stepwell/releases:signing",
            "//py/stepwell/releases:source",
            "//py/stepwell/schema:feature_registry",
            "//py/stepwell/schema:writer_watermark",
            "//py/stepwell/stores:key_value_store",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "guarded_store_test",
        srcs = ["guarded_store_test.py"],
        deps = [
            ":guarded_store",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
            "//py/stepwell/degradation:circuit_breaker",
            "//py/stepwell/stores:key_value_store",
        ],
    )
    stepwell_py_test(
        name = "health_servicer_test",
        srcs = ["health_servicer_test.py"],
        deps = [
            ":health_servicer",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "item_labels_test",
        srcs = ["item_labels_test.py"],
        deps = [
            ":item_labels",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/schema:vocabulary",
        ],
    )
    stepwell_py_test(
        name = "item_names_test",
        srcs = ["item_names_test.py"],
        deps = [
            ":item_names",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "ladder_constants_test",
        srcs = ["ladder_constants_test.py"],
        deps = [
            ":card_costs",
            ":ladder_constants",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
            "//py/stepwell/degradation:circuit_breaker",
            "//py/stepwell/degradation:controller",
        ],
    )
    stepwell_py_test(
        name = "limits_test",
        srcs = ["limits_test.py"],
        data = ["//proto/stepwell_pb/v1:v1_protos"],
        deps = [
            ":limits",
            "//proto/stepwell_pb/v1:v1_py",
        ],
    )
    stepwell_py_test(
        name = "live_experiments_test",
        srcs = ["live_experiments_test.py"],
        deps = [
            ":live_experiments",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
        ],
    )
    stepwell_py_test(
        name = "metrics_merge_test",
        srcs = ["metrics_merge_test.py"],
        deps = [
            ":metrics_merge",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
        ],
    )
    stepwell_py_test(
        name = "metrics_server_test",
        srcs = ["metrics_server_test.py"],
        deps = [
            ":metrics_server",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
        ],
    )
    stepwell_py_test(
        name = "popular_slates_test",
        srcs = ["popular_slates_test.py"],
        deps = [
            ":popular_slates",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:deadline",
            "//py/stepwell/degradation:slate_cache",
            "//py/stepwell/pipeline:query",
            "//py/stepwell/retrieval:popular_lists",
            "//py/stepwell/schema:vocabulary",
        ],
    )
    stepwell_py_test(
        name = "ranker_canary_test",
        srcs = ["ranker_canary_test.py"],
        deps = [
            ":tiny_ranker_fixture",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/experiments:guardrails",
            "//py/stepwell/pipeline:candidate",
            "//py/stepwell/releases:rollout",
            "//py/stepwell/releases:signing",
        ],
    )
    stepwell_py_test(
        name = "ranker_impressions_test",
        srcs = ["ranker_impressions_test.py"],
        deps = [
            ":ranker_options",
            ":shown_slates",
            ":tiny_ranker_fixture",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/feedback:logged_events",
            "//py/stepwell/feedback:served_request",
            "//py/stepwell/stores:lmdb_event_log",
        ],
    )
    stepwell_py_test(
        name = "ranker_loading_test",
        srcs = ["ranker_loading_test.py"],
        deps = [
            ":engine",
            ":tiny_ranker_fixture",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metric_spec",
            "//py/stepwell/base:metrics",
            "//py/stepwell/releases:rollout",
            "//py/stepwell/releases:signing",
            "//py/stepwell/releases:vetoes",
            "//py/stepwell/stores:key_value_store",
        ],
    )
    stepwell_py_test(
        name = "ranker_state_test",
        srcs = ["ranker_state_test.py"],
        deps = [
            ":tiny_ranker_fixture",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/feedback:logged_events",
            "//py/stepwell/feedback:user_history_updater",
            "//py/stepwell/schema:events",
            "//py/stepwell/schema:history_row",
            "//py/stepwell/schema:vocabulary",
            "//py/stepwell/stores:lmdb_event_log",
        ],
    )
    stepwell_py_test(
        name = "ranker_stream_test",
        srcs = ["ranker_stream_test.py"],
        deps = [
            ":tiny_ranker_fixture",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/stores:lmdb_event_log",
        ],
    )
    stepwell_py_test(
        name = "ranker_test",
        srcs = ["ranker_test.py"],
        deps = [
            ":ranker",
            ":ready",
            ":tiny_ranker_fixture",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/feedback:user_history_updater",
            "//py/stepwell/pipeline:planner",
            "//py/stepwell/releases:signing",
            "//py/stepwell/releases:source",
            "//py/stepwell/schema:history_row",
            "//py/stepwell/schema:vocabulary",
        ],
    )
    stepwell_py_test(
        name = "recommend_methods_test",
        srcs = ["recommend_methods_test.py"],
        deps = [
            ":call",
            ":recommend_methods",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/front:call",
        ],
    )
    stepwell_py_test(
        name = "release_outcomes_test",
        srcs = ["release_outcomes_test.py"],
        deps = [
            ":release_outcomes",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:deadline",
            "//py/stepwell/base:latency_histogram",
            "//py/stepwell/degradation:reasons",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/experiments:arm_outcomes",
            "//py/stepwell/pipeline:candidate",
            "//py/stepwell/pipeline:query",
            "//py/stepwell/pipeline:slate",
        ],
    )
    stepwell_py_test(
        name = "release_parts_test",
        srcs = ["release_parts_test.py"],
        deps = [
            ":release_parts",
            "//py/stepwell/base:errors",
            "//py/stepwell/index:ann_index",
            "//py/stepwell/models:two_tower_user",
            "//py/stepwell/retrieval:artifacts",
            "//py/stepwell/retrieval:co_occurrence_model",
            "//py/stepwell/retrieval:popular_lists",
        ],
    )
    stepwell_py_test(
        name = "release_thread_test",
        srcs = ["release_thread_test.py"],
        deps = [
            ":release_thread",
            "//py/stepwell/base:thread_rank",
        ],
    )
    stepwell_py_test(
        name = "releases_view_test",
        srcs = ["releases_view_test.py"],
        deps = [
            ":tiny_ranker_fixture",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/releases:rollout",
            "//py/stepwell/releases:signing",
            "//py/stepwell/releases:vetoes",
        ],
    )
    stepwell_py_test(
        name = "remote_index_test",
        srcs = ["remote_index_test.py"],
        deps = [
            ":remote_index",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metrics",
            "//py/stepwell/degradation:circuit_breaker",
            "//py/stepwell/embeddings:shard_map",
            "//py/stepwell/index:ann_index",
        ],
    )
    stepwell_py_test(
        name = "responses_test",
        srcs = ["responses_test.py"],
        deps = [
            ":call",
            ":responses",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/degradation:controller",
            "//py/stepwell/degradation:reasons",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/pipeline:candidate",
            "//py/stepwell/pipeline:query",
            "//py/stepwell/pipeline:slate",
            "//py/stepwell/schema:vocabulary",
        ],
    )
    stepwell_py_test(
        name = "retrieval_servicer_test",
        srcs = ["retrieval_servicer_test.py"],
        deps = [
            ":retrieval_server",
            ":retrieval_servicer",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/embeddings:label_shards",
            "//py/stepwell/embeddings:shard_map",
            "//py/stepwell/index:ann_index",
            "//py/stepwell/index:search_result",
            "//py/stepwell/retrieval:recall_probe",
        ],
    )
    stepwell_py_test(
        name = "server_test",
        srcs = ["server_test.py"],
        deps = [
            ":grpc_listener",
            ":ranker",
            ":ranker_options",
            ":server",
            ":tiny_ranker_fixture",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/releases:signing",
        ],
    )
    stepwell_py_test(
        name = "shadow_log_test",
        srcs = ["shadow_log_test.py"],
        deps = [
            ":shadow_log",
            ":slate_difference",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:deadline",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/pipeline:query",
        ],
    )
    stepwell_py_test(
        name = "shadow_test",
        srcs = ["shadow_test.py"],
        deps = [
            ":call",
            ":engine",
            ":item_labels",
            ":responses",
            ":shadow",
            ":shadow_log",
            ":slate_difference",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:deadline",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/degradation:controller",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/pipeline:candidate",
            "//py/stepwell/pipeline:query",
            "//py/stepwell/pipeline:slate",
            "//py/stepwell/releases:handle",
            "//py/stepwell/releases:manifest",
            "//py/stepwell/schema:vocabulary",
        ],
    )
    stepwell_py_test(
        name = "shown_slates_test",
        srcs = ["shown_slates_test.py"],
        deps = [
            ":item_labels",
            ":responses",
            ":shown_slates",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:deadline",
            "//py/stepwell/base:errors",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/features:request_features",
            "//py/stepwell/feedback:shown_slate",
            "//py/stepwell/pipeline:candidate",
            "//py/stepwell/pipeline:query",
            "//py/stepwell/pipeline:slate",
            "//py/stepwell/schema:vocabulary",
        ],
    )
    stepwell_py_test(
        name = "side_calls_test",
        srcs = ["side_calls_test.py"],
        deps = [
            ":side_calls",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/front",
            "//py/stepwell/front:admission_queue",
        ],
    )
    stepwell_py_test(
        name = "slate_difference_test",
        srcs = ["slate_difference_test.py"],
        deps = [":slate_difference"],
    )
    stepwell_py_test(
        name = "status_mapping_test",
        srcs = ["status_mapping_test.py"],
        deps = [
            ":status_mapping",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "tiered_answering_test",
        srcs = ["tiered_answering_test.py"],
        deps = [
            ":answering",
            ":call",
            ":canary_trial",
            ":tiered_answering",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/degradation:controller",
            "//py/stepwell/degradation:priority",
            "//py/stepwell/degradation:reasons",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/degradation:tier_policy",
        ],
    )
    stepwell_py_test(
        name = "validation_test",
        srcs = ["validation_test.py"],
        deps = [
            ":validation",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "warm_up_test",
        srcs = ["warm_up_test.py"],
        deps = [
            ":engine",
            ":recent_queries",
            ":tiny_ranker_fixture",
            ":warm_up",
            "//py/stepwell/base:deadline",
            "//py/stepwell/base:metrics",
            "//py/stepwell/base:pace",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/pipeline:query",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
