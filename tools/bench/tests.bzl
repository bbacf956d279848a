"""Test targets of this room, apart because BUILD.bazel would be too long."""

load("//tools/bazel:defs.bzl", "stepwell_py_test")

def room_tests():
    """One target for each test file."""
    stepwell_py_test(
        name = "dlrm_forward_test",
        srcs = ["dlrm_forward_test.py"],
        deps = [
            ":dlrm_forward",
            ":report",
            "//py/stepwell/models:precision",
        ],
    )
    stepwell_py_test(
        name = "experiments_test",
        srcs = ["experiments_test.py"],
        deps = [
            ":experiments",
            "//py/stepwell/experiments:assigner",
            "//py/stepwell/pipeline:overrides",
        ],
    )
    stepwell_py_test(
        name = "features_log_test",
        srcs = ["features_log_test.py"],
        deps = [
            ":features_log",
            "//py/stepwell/stores:event_log",
            "//py/stepwell/stores:lmdb_event_log",
        ],
    )
    stepwell_py_test(
        name = "features_read_alone_test",
        srcs = ["features_read_alone_test.py"],
        deps = [
            ":features_read_alone",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "features_test",
        srcs = ["features_test.py"],
        deps = [
            ":features",
            ":features_feast",
            ":features_quality",
            ":features_read",
            ":features_replay",
            ":features_rows",
            ":features_visible",
            ":serving_sequential",
            "//py/bin:log_replayer",
            "//py/bin:project_state",
            "//py/stepwell/base:errors",
            "//py/stepwell/feedback:user_state_file",
            "//py/stepwell/schema:history_row",
            "//py/stepwell/schema:user_history",
            "//py/stepwell/schema:vocabulary",
            "//py/stepwell/training:evaluate",
            "//py/stepwell/training:model_card",
            "//py/stepwell/training:quality_metrics",
        ],
    )
    stepwell_py_test(
        name = "figures_test",
        srcs = ["figures_test.py"],
        deps = [":figures"],
    )
    stepwell_py_test(
        name = "gather_ceiling_test",
        srcs = ["gather_ceiling_test.py"],
        deps = [
            ":gather_ceiling",
            "//py/stepwell/ops:packed_tables",
            "//py/stepwell/ops:quantize_rows",
        ],
    )
    stepwell_py_test(
        name = "guardrails_test",
        srcs = ["guardrails_test.py"],
        deps = [
            ":guardrails",
            ":guardrails_world",
        ],
    )
    stepwell_py_test(
        name = "ladder_test",
        srcs = ["ladder_test.py"],
        deps = [
            ":ladder_costs",
            ":ladder_faults",
            ":ladder_limits",
            ":ladder_plan",
            ":ladder_plot",
            ":ladder_rivals",
            ":ladder_runs",
            "//loadtest:capacity",
            "//loadtest:limit_breaches",
            "//loadtest:load_run",
            "//loadtest:load_run_fixture",
            "//loadtest:scenarios",
            "//loadtest:slo",
            "//loadtest:utility",
        ],
    )
    stepwell_py_test(
        name = "load_generator_test",
        srcs = ["load_generator_test.py"],
        deps = [":load_generator"],
    )
    stepwell_py_test(
        name = "machine_stalls_test",
        srcs = ["machine_stalls_test.py"],
        deps = [":machine_stalls"],
    )
    stepwell_py_test(
        name = "ops_cuda_test",
        srcs = ["ops_cuda_test.py"],
        deps = [":ops_cuda"],
    )
    stepwell_py_test(
        name = "ops_fbgemm_test",
        srcs = ["ops_fbgemm_test.py"],
        deps = [
            ":ops_fbgemm",
            ":ops_peers",
        ],
    )
    stepwell_py_test(
        name = "ops_peers_test",
        srcs = ["ops_peers_test.py"],
        deps = [":ops_peers"],
    )
    stepwell_py_test(
        name = "ops_test",
        srcs = ["ops_test.py"],
        deps = [
            ":ops",
            ":ops_interactions",
            ":ops_lookups",
            ":ops_timing",
            ":report",
        ],
    )
    stepwell_py_test(
        name = "ops_timing_test",
        srcs = ["ops_timing_test.py"],
        deps = [":ops_timing"],
    )
    stepwell_py_test(
        name = "releases_test",
        srcs = ["releases_test.py"],
        deps = [
            ":releases",
            ":releases_canary",
            ":releases_load",
            ":releases_plot",
            ":releases_swaps",
            ":releases_world",
            ":report",
            "//loadtest:lanes",
            "//loadtest:load_run",
            "//loadtest:load_run_fixture",
            "//loadtest:tiny_shop",
            "//py/bin:project_state",
            "//py/stepwell/base:errors",
            "//py/stepwell/client:types",
        ],
    )
    stepwell_py_test(
        name = "report_test",
        srcs = ["report_test.py"],
        deps = [
            ":report",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "retrieval_data_test",
        srcs = ["retrieval_data_test.py"],
        deps = [
            ":retrieval_data",
            ":retrieval_options",
            "//py/stepwell/base:errors",
            "//py/stepwell/index:options",
        ],
    )
    stepwell_py_test(
        name = "retrieval_figures_test",
        srcs = ["retrieval_figures_test.py"],
        deps = [":retrieval_figures"],
    )
    stepwell_py_test(
        name = "retrieval_glove_test",
        srcs = ["retrieval_glove_test.py"],
        deps = [
            ":retrieval_glove",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "retrieval_test",
        srcs = ["retrieval_test.py"],
        deps = [
            ":report",
            ":retrieval",
            ":retrieval_budget",
            ":retrieval_engines",
            ":retrieval_filters",
            ":retrieval_options",
            "//py/stepwell/index:options",
        ],
    )
    stepwell_py_test(
        name = "scorer_test",
        srcs = ["scorer_test.py"],
        deps = [
            ":scorer",
            "//py/stepwell/models:packed_mlp",
        ],
    )
    stepwell_py_test(
        name = "serving_release_test",
        srcs = ["serving_release_test.py"],
        deps = [
            ":serving_peer_files",
            ":serving_release",
            ":serving_spec",
            "//py/stepwell/base:metrics",
            "//py/stepwell/releases:loader",
            "//py/stepwell/serving:engine_builder",
            "//py/stepwell/serving:event_clock",
            "//py/stepwell/stores:lmdb_key_value_store",
        ],
    )
    stepwell_py_test(
        name = "serving_test",
        srcs = ["serving_test.py"],
        deps = [
            ":open_step",
            ":serving",
            ":serving_demo",
            ":serving_open",
            ":serving_peer",
            ":serving_sequential",
            "//loadtest:load_run_fixture",
            "//py/bin:project_state",
            "//py/stepwell/base:errors",
            "//py/stepwell/client:types",
            "//py/stepwell/models:dlrm",
            "//py/stepwell/models:ranker_config",
        ],
    )
