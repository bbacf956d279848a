"""The project's virtual environment as a Bazel repository.

Targets: `python_headers`, `pybind11`, `torch` (stable ABI headers and the two CPU
libraries), `toolchain` (py_test and py_binary run the venv's interpreter) and
`python` (the interpreter as a tool for genrules).
"""

_PROBE = """
import json, sys, sysconfig
import pybind11, torch
print(json.dumps({
    "executable": sys.executable,
    "include": sysconfig.get_paths()["include"],
    "pybind11": pybind11.get_include(),
    "torch": torch.__path__[0],
    "version": "%d.%d" % sys.version_info[:2],
}))
"""

# `python` is a script and not a link: a link to the interpreter that lies outside of
# the venv would lose pyvenv.cfg and with it every package.
_TOOL = """#!/bin/sh
exec "{executable}" "$@"
"""

_BUILD = """
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

# venv of Python {version}, {executable}
cc_library(
    name = "python_headers",
    hdrs = glob(["include/**/*.h"]),
    includes = ["include"],
)

cc_library(
    name = "pybind11",
    hdrs = glob(["pybind11/**/*.h"]),
    includes = ["pybind11"],
    deps = [":python_headers"],
)

# Only the headers of the stable ABI: the whole tree has 9,000 files, and the sandbox
# links every one of them for every action.
filegroup(
    name = "torch_include_files",
    srcs = glob([
        "torch_include/torch/csrc/inductor/aoti_torch/**",
        "torch_include/torch/csrc/stable/**",
        "torch_include/torch/headeronly/**",
    ]),
)

cc_library(
    name = "torch_headers",
    hdrs = [":torch_include_files"],
    includes = ["torch_include"],
)

cc_library(
    name = "torch",
    srcs = [
        "torch_lib/libc10.so",
        "torch_lib/libtorch_cpu.so",
    ],
    deps = [":torch_headers"],
)

exports_files(["python"])

py_runtime(
    name = "runtime",
    interpreter_path = "{executable}",
    stub_shebang = "#!{executable}",
    python_version = "PY3",
)

py_runtime_pair(
    name = "runtime_pair",
    py3_runtime = ":runtime",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtime_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""

def _impl(repository_ctx):
    root = repository_ctx.path(repository_ctx.attr.workspace).dirname
    repository_ctx.path(repository_ctx.attr.lock)  # a new lock makes this anew
    python = str(root) + "/.venv/bin/python"
    result = repository_ctx.execute([python, "-c", _PROBE])
    if result.return_code != 0:
        fail("no working environment at {}: run ./stepwell setup\n{}".format(
            python,
            result.stderr,
        ))
    found = json.decode(result.stdout.strip())
    repository_ctx.symlink(found["include"], "include")
    repository_ctx.symlink(found["pybind11"], "pybind11")
    repository_ctx.symlink(found["torch"] + "/include", "torch_include")
    repository_ctx.symlink(found["torch"] + "/lib", "torch_lib")
    repository_ctx.file("python", _TOOL.format(**found), executable = True)
    repository_ctx.file("BUILD.bazel", _BUILD.format(**found))

python_repository = repository_rule(
    implementation = _impl,
    attrs = {
        "lock": attr.label(mandatory = True, allow_single_file = True),
        "workspace": attr.label(mandatory = True, allow_single_file = True),
    },
)
