"""Test targets of this room, apart because BUILD.bazel would be too long."""

load("//tools/bazel:defs.bzl", "stepwell_py_test")

def room_tests():
    """One target for each test file."""
    stepwell_py_test(
        name = "bench_test",
        srcs = ["bench_test.py"],
        deps = [
            ":bench",
            "//py/stepwell/base:errors",
            "//tools/bench:retrieval_options",
        ],
    )
    stepwell_py_test(
        name = "doctor_test",
        srcs = ["doctor_test.py"],
        deps = [":doctor"],
    )
    stepwell_py_test(
        name = "experiment_test",
        srcs = ["experiment_test.py"],
        deps = [
            ":experiment",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/feedback:logged_events",
            "//py/stepwell/stores:event_log",
            "//py/stepwell/stores:lmdb_event_log",
        ],
    )
    stepwell_py_test(
        name = "features_replay_log_test",
        srcs = ["features_replay_log_test.py"],
        deps = [
            ":features",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:metrics",
            "//py/stepwell/feedback:logged_events",
            "//py/stepwell/feedback:user_history_updater",
            "//py/stepwell/feedback:user_state_file",
            "//py/stepwell/feedback:user_state_import",
            "//py/stepwell/schema:history_row",
            "//py/stepwell/schema:user_history",
            "//py/stepwell/schema:vocabulary",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "features_test",
        srcs = ["features_test.py"],
        deps = [
            ":features",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/schema:feature_registry",
        ],
    )
    stepwell_py_test(
        name = "import_test",
        srcs = ["import_test.py"],
        deps = [
            ":import_",
            "//py/stepwell/training:feast_registry_fixture",
        ],
    )
    stepwell_py_test(
        name = "index_split_test",
        srcs = ["index_split_test.py"],
        deps = [
            ":index",
            ":index_split",
            "//py/stepwell/base:errors",
            "//py/stepwell/embeddings:label_shards",
            "//py/stepwell/embeddings:shard_map",
            "//py/stepwell/index:ann_index",
        ],
    )
    stepwell_py_test(
        name = "index_test",
        srcs = ["index_test.py"],
        deps = [
            ":index",
            "//py/stepwell/index:ann_index",
            "//py/stepwell/index:build",
        ],
    )
    stepwell_py_test(
        name = "ladder_test",
        srcs = ["ladder_test.py"],
        deps = [
            ":ladder",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "lint_test",
        srcs = ["lint_test.py"],
        deps = [":lint"],
    )
    stepwell_py_test(
        name = "load_test",
        srcs = ["load_test.py"],
        deps = [
            ":load",
            ":load_open_loop",
            "//loadtest:capacity",
            "//loadtest:journeys",
            "//loadtest:load_run",
            "//loadtest:load_run_fixture",
            "//loadtest:report",
            "//loadtest:slo",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/bin:project_state",
            "//py/bin:ranker_process",
            "//py/stepwell/base:errors",
            "//py/stepwell/client:types",
            "//py/stepwell/releases:source",
        ],
    )
    stepwell_py_test(
        name = "publish_test",
        srcs = ["publish_test.py"],
        deps = [
            ":publish",
            "//py/bin:registry_command",
            "//py/stepwell/base:errors",
            "//py/stepwell/feedback:user_history_updater",
            "//py/stepwell/feedback:user_state_file",
            "//py/stepwell/releases:archive",
            "//py/stepwell/releases:loader",
            "//py/stepwell/releases:manifest",
            "//py/stepwell/releases:source",
            "//py/stepwell/releases:verification",
            "//py/stepwell/schema:history_row",
            "//py/stepwell/schema:user_history",
            "//py/stepwell/schema:vocabulary",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "recommend_test",
        srcs = ["recommend_test.py"],
        deps = [
            ":recommend",
            "//py/stepwell/base:errors",
            "//py/stepwell/client:types",
        ],
    )
    stepwell_py_test(
        name = "replay_test",
        srcs = ["replay_test.py"],
        deps = [
            ":replay",
            "//py/bin:log_replayer",
            "//py/stepwell/serving:replay",
        ],
    )
    stepwell_py_test(
        name = "rows_test",
        srcs = ["rows_test.py"],
        deps = [
            "//proto/stepwell_pb/v1:v1_py",
            "//py/bin:stepwell_main",
            "//py/stepwell/feedback:logged_events",
            "//py/stepwell/stores:event_log",
            "//py/stepwell/stores:lmdb_event_log",
        ],
    )
    stepwell_py_test(
        name = "serve_test",
        srcs = ["serve_test.py"],
        deps = [
            ":serve",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "simulate_test",
        srcs = ["simulate_test.py"],
        deps = [
            ":simulate",
            "//py/stepwell/simulation:rivals",
        ],
    )
    stepwell_py_test(
        name = "test_test",
        srcs = ["test_test.py"],
        deps = [":test"],
    )
    stepwell_py_test(
        name = "train_test",
        srcs = ["train_test.py"],
        deps = [
            ":train",
            "//py/stepwell/training:training_config",
        ],
    )
    stepwell_py_test(
        name = "update_test",
        srcs = ["update_test.py"],
        deps = [
            ":update",
            "//py/stepwell/releases:manifest",
            "//py/stepwell/releases:publisher",
            "//py/stepwell/releases:signing",
            "//py/stepwell/training:item_changes",
            "//py/stepwell/training:release_update",
        ],
    )
    stepwell_py_test(
        name = "verify_test",
        srcs = ["verify_test.py"],
        deps = [
            ":export",
            ":publish",
            ":verify",
            "//py/stepwell/base:errors",
            "//py/stepwell/releases:loader",
            "//py/stepwell/releases:manifest",
            "//py/stepwell/releases:publisher",
            "//py/stepwell/releases:signing",
            "//py/stepwell/releases:verification",
        ],
    )
