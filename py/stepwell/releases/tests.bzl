"""Test targets of this room, apart because BUILD.bazel would be too long."""

load("//tools/bazel:defs.bzl", "stepwell_py_test")

def room_tests():
    """One target for each test file."""
    stepwell_py_test(
        name = "aliases_test",
        srcs = ["aliases_test.py"],
        deps = [
            ":aliases",
            ":signing",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "archive_test",
        srcs = ["archive_test.py"],
        deps = [
            ":archive",
            ":manifest",
            ":publisher",
            ":signing",
            ":verification",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "canary_route_test",
        srcs = ["canary_route_test.py"],
        deps = [":canary_route"],
    )
    stepwell_py_test(
        name = "delta_patch_test",
        srcs = ["delta_patch_test.py"],
        deps = [
            ":delta_patch",
            ":delta_runs",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "delta_test",
        srcs = ["delta_test.py"],
        deps = [
            ":delta",
            ":delta_publishing",
            ":manifest",
            ":publisher",
            ":signing",
            ":verification",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "durable_files_test",
        srcs = ["durable_files_test.py"],
        deps = [
            ":durable_files",
            ":signing",
            ":vetoes",
        ],
    )
    stepwell_py_test(
        name = "handle_test",
        srcs = ["handle_test.py"],
        deps = [
            ":handle",
            ":manifest",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "live_release_test",
        srcs = ["live_release_test.py"],
        deps = [
            ":live_release",
            ":manifest",
            ":publisher",
            ":rollout",
            ":signing",
        ],
    )
    stepwell_py_test(
        name = "manager_canary_test",
        srcs = ["manager_canary_test.py"],
        deps = [
            ":manager",
            ":manager_world_fixture",
            ":state",
        ],
    )
    stepwell_py_test(
        name = "manager_test",
        srcs = ["manager_test.py"],
        deps = [
            ":manager_world_fixture",
            ":refusals",
            ":state",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "mirrored_source_test",
        srcs = ["mirrored_source_test.py"],
        deps = [
            ":manifest",
            ":mirrored_source",
            ":publisher",
            ":refusals",
            ":registry_lock",
            ":registry_mirror",
            ":rollout",
            ":signing",
            ":verification",
            ":vetoes",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "publisher_test",
        srcs = ["publisher_test.py"],
        deps = [
            ":aliases",
            ":manifest",
            ":publisher",
            ":rollout",
            ":signing",
            ":source",
            ":verification",
            ":vetoes",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
            "//py/stepwell/schema:feature_registry",
        ],
    )
    stepwell_py_test(
        name = "reduced_check_test",
        srcs = ["reduced_check_test.py"],
        deps = [
            ":reduced_check",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "rollout_policy_test",
        srcs = ["rollout_policy_test.py"],
        deps = [
            ":aliases",
            ":canary_route",
            ":rollout_policy",
        ],
    )
    stepwell_py_test(
        name = "rollout_test",
        srcs = ["rollout_test.py"],
        deps = [
            ":aliases",
            ":manifest",
            ":publisher",
            ":rollout",
            ":signing",
            ":vetoes",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "source_test",
        srcs = ["source_test.py"],
        deps = [
            ":aliases",
            ":signing",
            ":source",
            ":vetoes",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "state_test",
        srcs = ["state_test.py"],
        deps = [
            ":state",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "verification_test",
        srcs = ["verification_test.py"],
        deps = [
            ":loader",
            ":manifest",
            ":publisher",
            ":signing",
            "//py/stepwell/base:errors",
            "//py/stepwell/schema:feature_registry",
        ],
    )
    stepwell_py_test(
        name = "verified_records_test",
        srcs = ["verified_records_test.py"],
        deps = [":verified_records"],
    )
    stepwell_py_test(
        name = "vetoes_test",
        srcs = ["vetoes_test.py"],
        deps = [":vetoes"],
    )
