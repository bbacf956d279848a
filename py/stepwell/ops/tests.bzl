"""Test targets of this room, apart because BUILD.bazel would be too long."""

load("//tools/bazel:defs.bzl", "stepwell_py_test")

def room_tests():
    """One target for each test file."""
    stepwell_py_test(
        name = "activations_test",
        srcs = ["activations_test.py"],
        deps = [":activations"],
    )
    stepwell_py_test(
        name = "best_first_test",
        srcs = ["best_first_test.py"],
        deps = [
            ":best_first",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "bfloat16_test",
        srcs = ["bfloat16_test.py"],
        deps = [":bfloat16"],
    )
    stepwell_py_test(
        name = "co_occurrence_test",
        srcs = ["co_occurrence_test.py"],
        deps = [
            ":co_occurrence",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "conformance_bad_input_test",
        srcs = ["conformance_bad_input_test.py"],
        deps = [
            ":conformance_cases",
            ":conformance_registry",
        ],
    )
    stepwell_py_test(
        name = "conformance_test",
        srcs = ["conformance_test.py"],
        deps = [
            ":conformance_cases",
            ":conformance_registry",
        ],
    )
    stepwell_py_test(
        name = "cross_network_test",
        srcs = ["cross_network_test.py"],
        deps = [":cross_network"],
    )
    stepwell_py_test(
        name = "dot_interaction_test",
        srcs = ["dot_interaction_test.py"],
        deps = [":dot_interaction"],
    )
    stepwell_py_test(
        name = "embedding_bag_sparse_gradient_test",
        srcs = ["embedding_bag_sparse_gradient_test.py"],
        deps = [
            ":embedding_bag_sparse_gradient",
            ":embedding_bag_tables",
            ":row_wise_adagrad",
        ],
    )
    stepwell_py_test(
        name = "embedding_bag_tables_modes_test",
        srcs = ["embedding_bag_tables_modes_test.py"],
        deps = [
            ":embedding_bag_tables",
            ":embedding_reference",
        ],
    )
    stepwell_py_test(
        name = "embedding_bag_tables_test",
        srcs = ["embedding_bag_tables_test.py"],
        deps = [
            ":embedding_bag_tables",
            ":embedding_reference",
        ],
    )
    stepwell_py_test(
        name = "fused_ranker_test",
        srcs = ["fused_ranker_test.py"],
        deps = [
            ":conformance_ranker",
            ":fused_ranker",
            ":objectives",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "history_scores_test",
        srcs = ["history_scores_test.py"],
        deps = [
            ":history_scores",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "huge_pages_test",
        srcs = ["huge_pages_test.py"],
        deps = [":huge_pages"],
    )
    stepwell_py_test(
        name = "key_rows_test",
        srcs = ["key_rows_test.py"],
        deps = [
            ":key_rows",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "large_tensors_test",
        srcs = ["large_tensors_test.py"],
        deps = [
            ":dot_interaction",
            ":embedding_bag_tables",
            ":huge_pages",
            ":packed_tables",
        ],
    )
    stepwell_py_test(
        name = "library_test",
        srcs = ["library_test.py"],
        deps = [":library"],
    )
    stepwell_py_test(
        name = "likeness_test",
        srcs = ["likeness_test.py"],
        deps = [
            ":likeness",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "objectives_test",
        srcs = ["objectives_test.py"],
        deps = [
            ":objectives",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "packed_tables_test",
        srcs = ["packed_tables_test.py"],
        deps = [
            ":embedding_bag_tables",
            ":embedding_reference",
            ":packed_tables",
            ":quantize_rows",
            ":row_formats_golden",
        ],
    )
    stepwell_py_test(
        name = "quantize_rows_test",
        srcs = ["quantize_rows_test.py"],
        deps = [
            ":quantize_rows",
            ":row_formats_golden",
        ],
    )
    stepwell_py_test(
        name = "rank_fusion_test",
        srcs = ["rank_fusion_test.py"],
        deps = [
            ":rank_fusion",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "request_interaction_test",
        srcs = ["request_interaction_test.py"],
        deps = [
            ":dot_interaction",
            ":request_interaction",
        ],
    )
    stepwell_py_test(
        name = "row_file_test",
        srcs = ["row_file_test.py"],
        deps = [
            ":packed_tables",
            ":quantize_rows",
            ":row_file",
            ":row_formats_golden",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "row_wise_adagrad_test",
        srcs = ["row_wise_adagrad_test.py"],
        deps = [":row_wise_adagrad"],
    )
    stepwell_py_test(
        name = "small_ranker_test",
        srcs = ["small_ranker_test.py"],
        deps = [
            ":small_ranker",
            "//py/stepwell/base:errors",
        ],
    )
    stepwell_py_test(
        name = "topk_scores_test",
        srcs = ["topk_scores_test.py"],
        deps = [":topk_scores"],
    )
