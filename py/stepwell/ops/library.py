"""Loads the native operators into torch, once per process.

The modules of this room load it when they are imported, so that fake kernels and
gradients are registered before the first call; nobody else needs to.
"""

import os
import threading
from pathlib import Path

import torch

LIBRARY_VARIABLE = "STEPWELL_OPS_LIBRARY"
CUDA_LIBRARY_VARIABLE = "STEPWELL_OPS_CUDA_LIBRARY"
_LIBRARY = "cc/ops/libstepwell_ops.so"
_CUDA_LIBRARY_NAME = "libstepwell_ops_cuda.so"

_lock = threading.Lock()
_loaded: list[Path] = []


def load(path: Path | None = None) -> Path:
    """Makes `torch.ops.stepwell` available and returns the library it came from.

    The library is `path` if given, else the file that the environment variable
    STEPWELL_OPS_LIBRARY names, else the built one (Bazel's runfiles, then bazel-bin).
    The CUDA library comes along where torch sees a GPU: the file that
    STEPWELL_OPS_CUDA_LIBRARY names, else the one beside the CPU library, if any.

    Args:
        path: the shared object to load; must be the loaded one on a later call.
    Raises:
        NotFoundError: nothing is built; says which command builds it.
        OSError: the file named does not exist or does not fit this torch.
        RuntimeError: another library is loaded already.
    Concurrency: safe; one caller loads, the others wait. Later calls cost a lock.
    """
    with _lock:
        if not _loaded:
            found = path or _find()
            _load(found)
            _loaded.append(found)
            _load_cuda_beside(found)
        if path is not None and path != _loaded[0]:
            raise RuntimeError(f"{_loaded[0]} is loaded already, cannot load {path}")
        return _loaded[0]


def _load(library: Path) -> None:
    torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]


def _find() -> Path:
    named = os.environ.get(LIBRARY_VARIABLE)
    if named:
        return Path(named)
    # Imported here: a machine that is given the .so needs only this room's files.
    from stepwell.base.native import native_library

    return native_library(_LIBRARY)


def _load_cuda_beside(library: Path) -> None:
    if not torch.cuda.is_available():
        return
    named = os.environ.get(CUDA_LIBRARY_VARIABLE)
    cuda = Path(named) if named else library.with_name(_CUDA_LIBRARY_NAME)
    # A CPU-only build is fine on a machine with a GPU; a wrong path is not.
    if named or cuda.exists():
        _load(cuda)
