"""Whether this machine can compile CUDA, as a file that a macro can load."""

_DEFS = """
HAVE_NVCC = {have}
NVCC = "{nvcc}"
"""

def _impl(repository_ctx):
    nvcc = repository_ctx.which("nvcc")
    repository_ctx.file("BUILD.bazel", "exports_files([\"defs.bzl\"])\n")
    repository_ctx.file("defs.bzl", _DEFS.format(
        have = nvcc != None,
        nvcc = nvcc or "",
    ))

cuda_repository = repository_rule(
    implementation = _impl,
    environ = ["PATH"],
    local = True,
)
