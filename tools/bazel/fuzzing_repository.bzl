"""Whether this machine can build a fuzzer, as a file that a macro can load."""

_DEFS = """
HAVE_FUZZER = {have}
CLANG = "{clang}"
"""

_PROBE = "extern \"C\" int LLVMFuzzerTestOneInput(const char*, long) { return 0; }\n"

def _impl(repository_ctx):
    clang = repository_ctx.which("clang++")
    have = False
    if clang:
        # The compiler alone does not do: its run-time libraries are another package.
        repository_ctx.file("probe.cc", _PROBE)
        have = repository_ctx.execute([
            str(clang),
            "-fsanitize=fuzzer,address",
            "probe.cc",
            "-o",
            "probe",
        ]).return_code == 0
    repository_ctx.file("BUILD.bazel", "exports_files([\"defs.bzl\"])\n")
    repository_ctx.file("defs.bzl", _DEFS.format(
        have = have,
        clang = clang if have else "",
    ))

fuzzing_repository = repository_rule(
    implementation = _impl,
    environ = ["PATH"],
    local = True,
)
