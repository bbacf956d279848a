"""Where the built C++ libraries are: Bazel's runfiles first, then bazel-bin."""

import importlib.util
import sys
import threading
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType

from stepwell.base.errors import NotFoundError

_WORKSPACE = "stepwell"
# A second load of the same module would define its C++ types twice.
_module_lock = threading.Lock()


def native_library(relative_path: str) -> Path:
    """Returns the path of a built library, such as "cc/ops/libstepwell_ops.so".

    Looked for in Bazel's runfiles of the running binary, then under `bazel-bin` of the
    source checkout this file lies in.

    Raises:
        NotFoundError: names the file, the places tried and the command that builds it.
    """
    tried = []
    for candidate in (_in_runfiles(relative_path), _in_bazel_bin(relative_path)):
        if candidate is None:
            continue
        if candidate.exists():
            return candidate
        tried.append(str(candidate))
    target = "//" + ":".join(relative_path.rsplit("/", 1))
    raise NotFoundError(
        f"{relative_path} is not built (tried {tried}); run: bazel build {target}"
    )


def native_module(name: str) -> ModuleType:
    """Returns the Python module that Bazel builds as cc/pybind/<name>.so.

    It is loaded once in a process. Its classes belong to the room that wraps them.

    Args:
        name: "_index" or the like.
    Raises:
        NotFoundError: it is not built; names the command.
    Concurrency: safe; the second of two first callers waits.
    """
    full_name = f"stepwell.native.{name}"
    with _module_lock:
        if full_name not in sys.modules:
            path = str(native_library(f"cc/pybind/{name}.so"))
            loader = ExtensionFileLoader(full_name, path)
            spec = importlib.util.spec_from_file_location(
                full_name, path, loader=loader
            )
            assert spec is not None  # a loader was given
            module = importlib.util.module_from_spec(spec)
            loader.exec_module(module)
            sys.modules[full_name] = module
        return sys.modules[full_name]


def _in_runfiles(relative_path: str) -> Path | None:
    from runfiles import Runfiles

    runfiles = Runfiles.Create()
    location = runfiles and runfiles.Rlocation(f"{_WORKSPACE}/{relative_path}")
    return Path(location) if location else None


def _in_bazel_bin(relative_path: str) -> Path:
    source_root = Path(__file__).resolve().parents[3]
    return source_root / "bazel-bin" / relative_path
