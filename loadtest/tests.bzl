"""Test targets of this room, apart because BUILD.bazel would be too long."""

load("//tools/bazel:defs.bzl", "stepwell_py_test")

def room_tests():
    """One target for each test file."""
    stepwell_py_test(
        name = "capacity_test",
        srcs = ["capacity_test.py"],
        deps = [
            ":capacity",
            ":load_run_fixture",
            ":rate_search",
            ":tiny_shop",
            "//py/stepwell/base:errors",
            "//py/stepwell/client:types",
        ],
    )
    stepwell_py_test(
        name = "envoy_process_test",
        srcs = ["envoy_process_test.py"],
        deps = [
            ":envoy_process",
            ":tiny_shop",
        ],
    )
    stepwell_py_test(
        name = "generator_test",
        srcs = ["generator_test.py"],
        deps = [
            ":generator",
            ":lanes",
            ":open_loop",
            ":tiny_shop",
            "//py/stepwell/base:errors",
            "//py/stepwell/client:retry_policy",
            "//py/stepwell/client:types",
        ],
    )
    stepwell_py_test(
        name = "header_blocks_test",
        srcs = ["header_blocks_test.py"],
        deps = [
            ":header_blocks",
            ":tiny_shop",
        ],
    )
    stepwell_py_test(
        name = "http2_connection_test",
        srcs = ["http2_connection_test.py"],
        deps = [
            ":http2_connection",
            ":tiny_shop",
        ],
    )
    stepwell_py_test(
        name = "instant_server_test",
        srcs = ["instant_server_test.py"],
        deps = [
            ":generator",
            ":instant_server",
            ":lanes",
            ":open_loop",
            ":tiny_shop",
            "//proto/stepwell_pb/v1:v1_py",
        ],
    )
    stepwell_py_test(
        name = "journeys_test",
        srcs = ["journeys_test.py"],
        deps = [
            ":journeys",
            ":tiny_shop",
            "//py/stepwell/client:sync_client",
            "//py/stepwell/client:types",
        ],
    )
    stepwell_py_test(
        name = "lanes_test",
        srcs = ["lanes_test.py"],
        deps = [
            ":lanes",
            ":tiny_shop",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/client:types",
        ],
    )
    stepwell_py_test(
        name = "load_run_test",
        srcs = ["load_run_test.py"],
        deps = [
            ":load_run",
            ":load_run_fixture",
            ":tiny_shop",
            "//py/stepwell/client:types",
        ],
    )
    stepwell_py_test(
        name = "open_loop_test",
        srcs = ["open_loop_test.py"],
        deps = [
            ":open_loop",
            ":tiny_shop",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "rate_search_test",
        srcs = ["rate_search_test.py"],
        deps = [
            ":rate_search",
            ":tiny_shop",
        ],
    )
    stepwell_py_test(
        name = "report_test",
        srcs = ["report_test.py"],
        deps = [
            ":by_second",
            ":capacity",
            ":journal",
            ":load_run_fixture",
            ":report",
            ":slo",
            ":tiny_shop",
            "//py/stepwell/base:errors",
            "//py/stepwell/client:types",
        ],
    )
    stepwell_py_test(
        name = "scenarios_test",
        srcs = ["scenarios_test.py"],
        deps = [
            ":scenarios",
            ":slo",
            ":tiny_shop",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/base:errors",
            "//py/stepwell/client:types",
        ],
    )
    stepwell_py_test(
        name = "slo_test",
        srcs = ["slo_test.py"],
        deps = [
            ":capacity",
            ":load_run",
            ":load_run_fixture",
            ":slo",
            ":tiny_shop",
            ":utility",
        ],
    )
    stepwell_py_test(
        name = "utility_test",
        srcs = ["utility_test.py"],
        deps = [
            ":capacity",
            ":load_run_fixture",
            ":tiny_shop",
            ":utility",
        ],
    )
