"""The rules that BUILD files of this tree use: one target for each file.

    load("//tools/bazel:defs.bzl", "stepwell_py_library", "stepwell_py_test")

    stepwell_py_library(
        name = "clock",
        srcs = ["clock.py"],
    )

    stepwell_py_test(
        name = "clock_test",
        srcs = ["clock_test.py"],
        deps = [":clock"],
    )

Third-party packages of Python need no dep: the interpreter is the venv's. A room's
`__init__.py` holds its docstring and nothing else; every library depends on it.
"""

load("@cuda//:defs.bzl", "HAVE_NVCC", "NVCC")
load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")
load("//tools/bazel:floors.bzl", "floor_visibility")

_RUNNER = "//tools/bazel:pytest_main.py"

# Import roots: a target below one of these can import by the path from there.
_IMPORT_ROOTS = ["py/bin", "py", "tests", "tools", "loadtest"]

def _import_path():
    """How to reach the import root from this package, for `imports`."""
    package = native.package_name()
    for root in _IMPORT_ROOTS:
        if package == root:
            return ["."]
        if package.startswith(root + "/"):
            depth = len(package[len(root) + 1:].split("/"))
            return ["/".join([".."] * depth)]
    return []

def _package_init():
    """The target of this package's `__init__.py`; its parents' come with it."""
    package = native.package_name()
    deps = []
    if package.startswith("py/stepwell/"):
        deps.append("//py/stepwell:package_init")
    if native.glob(["__init__.py"], allow_empty = True):
        if not native.existing_rule("package_init"):
            native.py_library(
                name = "package_init",
                srcs = ["__init__.py"],
                imports = _import_path(),
                visibility = ["//visibility:public"],
                deps = deps if package != "py/stepwell" else [],
            )
        return [":package_init"]
    return deps

def stepwell_package_init():
    """For a package that has an `__init__.py` and no other file."""
    _package_init()

def stepwell_py_library(name, srcs, deps = [], data = [], visibility = None, **kwargs):
    """A Python module. Seen by its own room and by the floors above it."""
    native.py_library(
        name = name,
        srcs = srcs,
        srcs_version = "PY3",
        data = data,
        imports = _import_path(),
        visibility = visibility or floor_visibility(native.package_name()),
        deps = deps + _package_init(),
        **kwargs
    )

def stepwell_py_binary(name, srcs, main = None, deps = [], data = [], plugins = [], **kwargs):
    """A program; its file's name ends in `_main`.

    `plugins` are libraries that it imports by a name it knows only at run time.
    """
    native.py_binary(
        name = name,
        srcs = srcs,
        main = main or srcs[0],
        srcs_version = "PY3",
        data = data,
        imports = _import_path(),
        python_version = "PY3",
        visibility = kwargs.pop("visibility", ["//visibility:public"]),
        deps = deps + plugins + _package_init(),
        **kwargs
    )

def stepwell_py_test(
        name,
        srcs,
        deps = [],
        data = [],
        size = "small",
        args = [],
        env = {},
        **kwargs):
    """A pytest file, run by the venv with its own temporary directory.

    A conftest.py of the same package comes along. `args` are arguments of pytest.
    """
    conftest = native.glob(["conftest.py"], allow_empty = True)
    native.py_test(
        name = name,
        srcs = srcs + conftest + [_RUNNER],
        main = _RUNNER,
        srcs_version = "PY3",
        args = ["$(rootpath {})".format(src) for src in srcs] + args,
        # The locks stand for the environment: new packages mean new results.
        data = data + [
            "//:pyproject.toml",
            "//:requirements-dev.lock",
            "//:requirements.lock",
        ],
        env = dict({"OMP_NUM_THREADS": "1"}, **env),
        imports = _import_path(),
        python_version = "PY3",
        size = size,
        deps = deps + _package_init(),
        **kwargs
    )

def stepwell_cc_library(name, visibility = None, **kwargs):
    """cc_library seen by its own room and by the floors above it."""
    cc_library(
        name = name,
        visibility = visibility or floor_visibility(native.package_name()),
        **kwargs
    )

def stepwell_cc_test(name, srcs, deps = [], size = "small", **kwargs):
    """A GoogleTest file; gtest's main is linked in."""
    cc_test(
        name = name,
        srcs = srcs,
        size = size,
        deps = deps + ["@gtest//:gtest_main"],
        **kwargs
    )

def stepwell_cc_benchmark(name, srcs, deps = [], **kwargs):
    """A google-benchmark file, `bazel run` by hand; its main is linked in.

    It is built with the tests, so that it cannot rot, and never run by them: what a
    shared machine measures is no verdict.
    """
    cc_binary(
        name = name,
        testonly = True,
        srcs = srcs,
        deps = deps + ["@benchmark//:benchmark_main"],
        **kwargs
    )

def cuda_shared_library(name, srcs, hdrs = [], torch = True, copts = [], visibility = None):
    """One shared object from CUDA sources, for sm_90; a skipped target without nvcc.

    Args:
      name: the file made, `lib*.so`.
      srcs: the .cu files, or targets that hold some.
      hdrs: every header they include from this tree.
      torch: whether they use torch's stable ABI. The result then has undefined CUDA
        symbols of torch and loads only where torch was built with CUDA.
      copts: further arguments of nvcc.
      visibility: as everywhere.
    """
    visibility = visibility or floor_visibility(native.package_name())
    flags = ["-std=c++20", "-O3", "--threads=2", "-shared", "-Xcompiler=-fPIC", "-I."] + copts
    flags.append("-gencode=arch=compute_90,code=sm_90")
    tools = []
    prepare = ""
    if torch:
        flags += [
            "-DUSE_CUDA",
            "-DTORCH_TARGET_VERSION=0x020b000000000000",
            "-Iexternal/stepwell_python/torch_include",
        ]
        tools.append("@stepwell_python//:torch_include_files")

        # torch keeps its symbols to itself: the result must name libtorch.so to see
        # them. An empty library of that name does, whatever torch is installed here.
        prepare = "stub=$$(mktemp -d) && echo | g++ -shared -x c - " + \
                  "-Wl,-soname,libtorch.so -o $$stub/libtorch.so && "
        flags += ["-L$$stub", "-Xlinker=--no-as-needed", "-ltorch"]
    native.genrule(
        name = name.replace(".so", "").replace("lib", "", 1) + "_nvcc",
        srcs = srcs + hdrs + tools,
        outs = [name],
        cmd = "{}{} {} {} -o $@".format(
            prepare,
            NVCC,
            " ".join(flags),
            " ".join(["$(locations {})".format(src) for src in srcs]),
        ),
        message = "nvcc",

        # No platform has this constraint, so without nvcc the target is reported as
        # skipped, which says more than leaving it out.
        target_compatible_with = [] if HAVE_NVCC else ["//tools/bazel:cuda_compiler"],
        visibility = visibility,
    )
