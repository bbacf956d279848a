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
        name = "report_test",
        srcs = ["report_test.py"],
        deps = [":report"],
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
