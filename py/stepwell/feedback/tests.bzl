"""Test targets of this room, apart because BUILD.bazel would be too long."""

load("//tools/bazel:defs.bzl", "stepwell_py_test")

def room_tests():
    """One target for each test file."""
    stepwell_py_test(
        name = "attribution_test",
        srcs = ["attribution_test.py"],
        deps = [
            ":attribution",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "experiment_log_test",
        srcs = ["experiment_log_test.py"],
        deps = [
            ":experiment_log",
            ":logged_events",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/experiments:exposed_slates",
            "//py/stepwell/stores:event_log",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "impression_test",
        srcs = ["impression_test.py"],
        deps = [
            ":impression",
            ":logged_events",
            ":shown_slate",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/stores:event_log",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "item_activity_test",
        srcs = ["item_activity_test.py"],
        deps = [
            ":item_activity",
            ":item_state",
            ":log_follower",
            ":logged_events",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/schema:feature_registry",
            "//py/stepwell/schema:vocabulary",
            "//py/stepwell/stores:event_log",
            "//py/stepwell/stores:key_value_store",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "item_state_test",
        srcs = ["item_state_test.py"],
        deps = [
            ":item_state",
            "//py/stepwell/base:errors",
            "//py/stepwell/schema:events",
            "//py/stepwell/schema:feature_registry",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "log_replay_test",
        srcs = ["log_replay_test.py"],
        deps = [
            ":item_activity",
            ":log_replay",
            ":updater_fixture",
            ":user_history_updater",
            ":user_state_file",
            ":user_state_import",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metrics",
            "//py/stepwell/schema:events",
            "//py/stepwell/schema:history_row",
            "//py/stepwell/schema:user_history",
            "//py/stepwell/schema:vocabulary",
            "//py/stepwell/stores:event_log",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "log_retention_test",
        srcs = ["log_retention_test.py"],
        deps = [
            ":log_retention",
            ":logged_events",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/stores:event_log",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "newest_event_test",
        srcs = ["newest_event_test.py"],
        deps = [
            ":logged_events",
            ":newest_event",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/stores:event_log",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "rows_as_of_log_test",
        srcs = ["rows_as_of_log_test.py"],
        deps = [
            ":items_as_of_log",
            ":logged_events",
            ":rows_as_of_log",
            ":updater_fixture",
            ":user_history_updater",
            ":user_state_file",
            ":user_state_import",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/schema:events",
            "//py/stepwell/schema:feature_registry",
            "//py/stepwell/schema:feature_row",
            "//py/stepwell/schema:history_row",
            "//py/stepwell/schema:user_history",
            "//py/stepwell/schema:vocabulary",
            "//py/stepwell/stores:key_value_store",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "served_request_test",
        srcs = ["served_request_test.py"],
        deps = [
            ":served_request",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/pipeline:candidate",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "shown_slate_test",
        srcs = ["shown_slate_test.py"],
        deps = [
            ":logged_events",
            ":served_request",
            ":shown_slate",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/experiments:exposure",
            "//py/stepwell/pipeline:candidate",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "stream_fold_test",
        srcs = ["stream_fold_test.py"],
        deps = [
            ":stream_fold",
            "//py/stepwell/schema:events",
            "//py/stepwell/schema:feature_registry",
            "//py/stepwell/schema:feature_row",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "updater_thread_test",
        srcs = ["updater_thread_test.py"],
        deps = [
            ":turn",
            ":updater_thread",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "user_history_updater_test",
        srcs = ["user_history_updater_test.py"],
        deps = [
            ":logged_events",
            ":updater_fixture",
            ":user_history_updater",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/schema:events",
            "//py/stepwell/schema:user_history",
            "//py/stepwell/schema:vocabulary",
            "//py/stepwell/stores:event_log",
            "//py/stepwell/stores:key_value_store",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "user_rows_updater_test",
        srcs = ["user_rows_updater_test.py"],
        deps = [
            ":updater_fixture",
            ":user_history_updater",
            ":user_state_file",
            ":user_state_import",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/schema:events",
            "//py/stepwell/schema:feature_registry",
            "//py/stepwell/schema:feature_row",
            "//py/stepwell/schema:writer_watermark",
            "//py/stepwell/stores:key_value_store",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "user_state_file_test",
        srcs = ["user_state_file_test.py"],
        deps = [
            ":user_state_file",
            "//py/stepwell/base:errors",
            "//py/stepwell/schema:feature_errors",
            "//py/stepwell/schema:feature_registry",
            "//py/stepwell/schema:feature_row",
            "//py/stepwell/schema:history_row",
            "//py/stepwell/schema:user_history",
            "//py/stepwell/schema:vocabulary",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "user_state_import_test",
        srcs = ["user_state_import_test.py"],
        deps = [
            ":updater_fixture",
            ":user_state_file",
            ":user_state_import",
            "//py/stepwell/base:errors",
            "//py/stepwell/schema:history_row",
            "//py/stepwell/schema:user_history",
            "//py/stepwell/schema:vocabulary",
            "//py/stepwell/stores:key_value_store",
            "//py/stepwell/stores:lmdb_event_log",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
