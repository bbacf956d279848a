"""Test targets of this room, apart because BUILD.bazel would be too long."""

load("//tools/bazel:defs.bzl", "stepwell_py_test")

def room_tests():
    """One target for each test file."""
    stepwell_py_test(
        name = "co_occurrence_test",
        srcs = ["co_occurrence_test.py"],
        deps = [
            ":co_occurrence",
            ":datasets_generated",
            ":event_table",
            ":import_events",
            ":split",
        ],
    )
    stepwell_py_test(
        name = "datasets_test",
        srcs = ["datasets_test.py"],
        deps = [
            ":datasets",
            ":datasets_complete_journey",
            ":datasets_generated",
            ":datasets_movielens",
            ":event_table",
            ":import_events",
            ":split",
            "//py/stepwell/base:errors",
            "//py/stepwell/schema:events",
        ],
    )
    stepwell_py_test(
        name = "distill_test",
        srcs = ["distill_test.py"],
        deps = [
            ":datasets_generated",
            ":distill",
            ":event_table",
            ":import_events",
            ":ranker_trainer",
            ":ranker_training",
            ":ranking_rows",
            ":split",
            "//py/stepwell/features:catalogue",
            "//py/stepwell/models:dlrm",
            "//py/stepwell/models:ranker_config",
        ],
    )
    stepwell_py_test(
        name = "evaluate_test",
        srcs = ["evaluate_test.py"],
        deps = [
            ":datasets_generated",
            ":evaluate",
            ":event_table",
            ":import_events",
            ":split",
            "//py/stepwell/schema:vocabulary",
        ],
    )
    stepwell_py_test(
        name = "import_events_test",
        srcs = ["import_events_test.py"],
        deps = [
            ":datasets_generated",
            ":event_table",
            ":import_events",
            ":split",
            "//py/stepwell/base:errors",
            "//py/stepwell/schema:events",
        ],
    )
    stepwell_py_test(
        name = "losses_test",
        srcs = ["losses_test.py"],
        deps = [
            ":datasets_generated",
            ":event_table",
            ":import_events",
            ":losses",
            ":negatives",
            ":split",
        ],
    )
    stepwell_py_test(
        name = "popularity_test",
        srcs = ["popularity_test.py"],
        deps = [
            ":datasets_generated",
            ":event_table",
            ":import_events",
            ":popularity",
            ":split",
        ],
    )
    stepwell_py_test(
        name = "quality_metrics_test",
        srcs = ["quality_metrics_test.py"],
        deps = [
            ":datasets_generated",
            ":event_table",
            ":import_events",
            ":quality_metrics",
            ":split",
        ],
    )
    stepwell_py_test(
        name = "ranker_losses_test",
        srcs = ["ranker_losses_test.py"],
        deps = [
            ":datasets_generated",
            ":event_table",
            ":import_events",
            ":ranker_losses",
            ":split",
        ],
    )
    stepwell_py_test(
        name = "ranker_trainer_test",
        srcs = ["ranker_trainer_test.py"],
        deps = [
            ":datasets_generated",
            ":event_table",
            ":import_events",
            ":ranker_optimizers",
            ":ranker_trainer",
            ":ranker_training",
            ":ranking_rows",
            ":split",
            ":training_config",
            "//py/stepwell/base:errors",
            "//py/stepwell/models:dlrm",
            "//py/stepwell/models:ranker_config",
        ],
    )
    stepwell_py_test(
        name = "ranking_rows_test",
        srcs = ["ranking_rows_test.py"],
        deps = [
            ":co_occurrence",
            ":datasets_generated",
            ":event_table",
            ":import_events",
            ":item_columns_export",
            ":ranking_rows",
            ":retrieval_training",
            ":split",
            ":training_run",
            ":training_run_rankers",
            "//py/stepwell/features:candidate_features",
            "//py/stepwell/features:item_columns",
            "//py/stepwell/pipeline:candidate",
            "//py/stepwell/pipeline:planner",
            "//py/stepwell/pipeline:stages",
        ],
    )
    stepwell_py_test(
        name = "retrieval_training_test",
        srcs = ["retrieval_training_test.py"],
        deps = [
            ":co_occurrence",
            ":datasets_generated",
            ":event_table",
            ":import_events",
            ":item_columns_export",
            ":retrieval_training",
            ":split",
            "//py/stepwell/base:clock",
            "//py/stepwell/base:deadline",
            "//py/stepwell/pipeline:plan",
            "//py/stepwell/pipeline:query",
            "//py/stepwell/retrieval:artifacts",
            "//py/stepwell/schema:vocabulary",
        ],
    )
    stepwell_py_test(
        name = "row_wise_adagrad_test",
        srcs = ["row_wise_adagrad_test.py"],
        deps = [
            ":datasets_generated",
            ":event_table",
            ":import_events",
            ":row_wise_adagrad",
            ":split",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "split_test",
        srcs = ["split_test.py"],
        deps = [
            ":datasets_generated",
            ":event_table",
            ":import_events",
            ":split",
            "//py/stepwell/base:errors",
            "//py/stepwell/models:history_weights",
        ],
    )
    stepwell_py_test(
        name = "training_cuts_test",
        srcs = ["training_cuts_test.py"],
        deps = [
            ":datasets_generated",
            ":event_table",
            ":import_events",
            ":split",
            ":training_cuts",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "training_run_test",
        srcs = ["training_run_test.py"],
        deps = [
            ":co_occurrence",
            ":datasets_generated",
            ":distill",
            ":evaluate",
            ":event_table",
            ":import_events",
            ":model_card",
            ":ranker_trainer",
            ":ranker_training",
            ":retrieval_training",
            ":split",
            ":training_config",
            ":training_run",
            "//py/stepwell/base:errors",
            "//py/stepwell/features:catalogue",
            "//py/stepwell/features:item_columns",
            "//py/stepwell/feedback:user_state_file",
            "//py/stepwell/models:ranker_config",
            "//py/stepwell/ranking:model_scorer",
            "//py/stepwell/ranking:reduced_scorer",
            "//py/stepwell/releases:manifest",
            "//py/stepwell/retrieval:artifacts",
            "//py/stepwell/schema:events",
            "//py/stepwell/schema:vocabulary",
        ],
    )
    stepwell_py_test(
        name = "two_tower_trainer_test",
        srcs = ["two_tower_trainer_test.py"],
        deps = [
            ":build_index",
            ":co_occurrence",
            ":datasets_generated",
            ":event_table",
            ":import_events",
            ":split",
            ":two_tower_trainer",
        ],
    )
