"""Every repository outside of this tree, made from what the machine has.

Nothing here reaches the network but `hnswlib_repository`, which asks pip, and that
only while its file is not in the user's cache.
"""

load("//tools/bazel:cuda_repository.bzl", "cuda_repository")
load("//tools/bazel:fuzzing_repository.bzl", "fuzzing_repository")
load("//tools/bazel:hnswlib_repository.bzl", "hnswlib_repository")
load("//tools/bazel:python_repository.bzl", "python_repository")
load("//tools/bazel:system_repository.bzl", "system_library_repository")

def stepwell_repositories():
    """Declares them all; each is evaluated when a target first needs it."""
    python_repository(
        name = "stepwell_python",
        lock = "//:requirements.lock",
        workspace = "//:WORKSPACE",
    )
    hnswlib_repository(
        name = "hnswlib",
        sha256 = "cb6d037eedebb34a7134e7dc78966441dfd04c9cf5ee93911be911ced951c44c",
        version = "0.8.0",
        workspace = "//:WORKSPACE",
    )
    cuda_repository(name = "cuda")
    fuzzing_repository(name = "fuzzing")
    system_library_repository(
        name = "absl",
        debian_package = "libabsl-dev",
        pkg_config = [
            "absl_status",
            "absl_statusor",
            "absl_span",
            "absl_strings",
            "absl_str_format",
            "absl_synchronization",
            "absl_flat_hash_map",
            "absl_flat_hash_set",
            "absl_time",
            "absl_cleanup",
            "absl_random_random",
        ],
        target = "status",
    )
    system_library_repository(
        name = "nghttp2",
        debian_package = "libnghttp2-dev",
        pkg_config = ["libnghttp2"],
        target = "nghttp2",
    )
    system_library_repository(
        name = "lmdb",
        debian_package = "liblmdb-dev",
        pkg_config = ["lmdb"],
        target = "lmdb",
    )
    system_library_repository(
        name = "zlib",
        debian_package = "zlib1g-dev",
        pkg_config = ["zlib"],
        target = "zlib",
    )
    system_library_repository(
        name = "gtest",
        debian_package = "libgtest-dev",
        pkg_config = ["gtest_main"],
        target = "gtest_main",
        for_tests = True,
    )
    system_library_repository(
        name = "benchmark",
        debian_package = "libbenchmark-dev",
        pkg_config = ["benchmark"],
        target = "benchmark_main",
        for_tests = True,
        linked_before = ["-lbenchmark_main"],
    )
