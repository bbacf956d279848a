"""Test targets of this room, apart because BUILD.bazel would be too long."""

load("//tools/bazel:defs.bzl", "stepwell_py_test")

def room_tests():
    """One target for each test file."""
    stepwell_py_test(
        name = "admin_door_test",
        srcs = ["admin_door_test.py"],
        deps = [
            ":admin_door",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "far_registry_test",
        srcs = ["far_registry_test.py"],
        deps = [
            ":far_registry",
            "//py/stepwell/base:errors",
            "//py/stepwell/releases:signing",
        ],
    )
    stepwell_py_test(
        name = "parent_death_test",
        srcs = ["parent_death_test.py"],
        deps = [
            ":parent_death",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "project_state_test",
        srcs = ["project_state_test.py"],
        deps = [":project_state"],
    )
    stepwell_py_test(
        name = "ranker_process_test",
        srcs = ["ranker_process_test.py"],
        deps = [
            ":project_state",
            ":ranker_process",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "registry_command_test",
        srcs = ["registry_command_test.py"],
        deps = [
            ":project_state",
            "//py/bin/commands:canary",
            "//py/bin/commands:pin",
            "//py/bin/commands:promote",
            "//py/bin/commands:releases",
            "//py/bin/commands:rollback",
            "//py/stepwell/base:errors",
            "//py/stepwell/releases:signing",
            "//py/stepwell/releases:vetoes",
            "//py/stepwell/serving:admin_listener",
            "//py/stepwell/serving:server",
            "//py/stepwell/serving:tiny_ranker_fixture",
        ],
    )
    stepwell_py_test(
        name = "release_listing_test",
        srcs = ["release_listing_test.py"],
        deps = [
            ":release_listing",
            "//py/stepwell/releases:manifest",
            "//py/stepwell/releases:publisher",
            "//py/stepwell/releases:signing",
        ],
    )
    stepwell_py_test(
        name = "release_warmer_test",
        srcs = ["release_warmer_test.py"],
        deps = [
            ":release_child",
            ":release_warmer",
            "//py/stepwell/base:errors",
            "//py/stepwell/releases:manifest",
            "//py/stepwell/releases:publisher",
            "//py/stepwell/releases:signing",
            "//py/stepwell/releases:verified_records",
        ],
    )
    stepwell_py_test(
        name = "retrieval_main_test",
        srcs = ["retrieval_main_test.py"],
        deps = [
            ":retrieval_main",
            "//proto/stepwell_pb/v1:v1_py",
            "//py/stepwell/index:ann_index",
        ],
    )
    stepwell_py_test(
        name = "serving_config_test",
        srcs = ["serving_config_test.py"],
        deps = [
            ":serving_config",
            "//py/stepwell/base:errors",
            "//py/stepwell/degradation:circuit_breaker",
            "//py/stepwell/degradation:controller",
            "//py/stepwell/pipeline:candidate",
            "//py/stepwell/pipeline:planner",
            "//py/stepwell/reranking:exploration",
        ],
    )
    stepwell_py_test(
        name = "stepwell_main_test",
        srcs = ["stepwell_main_test.py"],
        deps = [
            ":command_table",
            ":stepwell_main",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "tier_measurement_test",
        srcs = ["tier_measurement_test.py"],
        deps = [
            ":cold_measurement",
            "//py/bin/commands:evaluate",
            "//py/bin/commands:train",
            "//py/stepwell/degradation:tier",
            "//py/stepwell/training:co_occurrence",
            "//py/stepwell/training:datasets_generated",
            "//py/stepwell/training:distill",
            "//py/stepwell/training:ranker_trainer",
            "//py/stepwell/training:ranker_training",
            "//py/stepwell/training:retrieval_training",
            "//py/stepwell/training:training_config",
        ],
    )
    stepwell_py_test(
        name = "trainer_main_test",
        srcs = ["trainer_main_test.py"],
        deps = [
            ":trainer_main",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "worker_crew_test",
        srcs = ["worker_crew_test.py"],
        deps = [
            ":worker_crew",
            ":worker_process",
            "//py/stepwell/base:errors",
            "//py/stepwell/base:metric_names",
            "//py/stepwell/base:metrics",
            "//py/stepwell/serving:admin_fan_out_servicer",
            "//py/stepwell/serving:ready",
        ],
    )
    stepwell_py_test(
        name = "worker_slots_test",
        srcs = ["worker_slots_test.py"],
        deps = [
            ":worker_slots",
            "//py/stepwell/front",
            "//py/stepwell/front:admission_queue",
            "//py/stepwell/front:siblings",
        ],
    )
    stepwell_py_test(
        name = "worker_supervisor_test",
        srcs = ["worker_supervisor_test.py"],
        deps = [
            ":worker_flags",
            ":worker_supervisor",
        ],
    )
