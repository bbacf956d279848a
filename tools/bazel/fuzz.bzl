"""Tests that look for an input which breaks a parser: libFuzzer with ASan and UBSan."""

load("@fuzzing//:defs.bzl", "CLANG", "HAVE_FUZZER")

_RUNNER = "//tools/bazel:fuzz_runner.sh"

def stepwell_fuzz_test(
        name,
        srcs,
        hdrs,
        corpus,
        max_input_bytes,
        pkg_config = [],
        seconds = 60):
    """Fuzzes for so long from a copy of the corpus; a skipped target without clang.

    A test of that time on one core. What breaks the program is printed in base64 and
    kept among the test's outputs: put that file into the corpus with the repair.

    Args:
      name: ends in _test.
      srcs: every .cc file of the program, `LLVMFuzzerTestOneInput` in one of them; all
        are compiled here, since a library built elsewhere would have no sanitiser.
      hdrs: every header they include from this tree.
      corpus: a filegroup of the inputs to start from.
      max_input_bytes: of the inputs it makes up.
      pkg_config: system libraries to link.
      seconds: how long.
    """
    compatible = [] if HAVE_FUZZER else ["//tools/bazel:fuzzing_compiler"]
    program = name + "_program"
    native.genrule(
        name = program,
        testonly = True,
        srcs = srcs + hdrs,
        outs = [name + "_main"],
        cmd = " ".join([
            CLANG,
            "-std=c++20 -O1 -g -march=x86-64-v2 -I.",
            "-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined",
            " ".join(["$(location {})".format(src) for src in srcs]),
            "-o $@",
        ] + (["$$(pkg-config --libs {})".format(" ".join(pkg_config))] if pkg_config else [])),
        executable = True,
        message = "clang++ -fsanitize=fuzzer",
        target_compatible_with = compatible,
    )
    native.sh_test(
        name = name,
        size = "medium",
        srcs = [_RUNNER],
        args = [
            "$(rootpath {})".format(program),
            str(seconds),
            str(max_input_bytes),
            "$(rootpaths {})".format(corpus),
        ],
        data = [program, corpus],
        target_compatible_with = compatible,
    )
