"""Loads the native operators into torch, once per process.

The modules of this room load it when they are imported, so that fake kernels and
gradients are registered before the first call; nobody else needs to.
"""

import functools
import inspect
import os
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LIBRARY_VARIABLE = "STEPWELL_OPS_LIBRARY"
CUDA_LIBRARY_VARIABLE = "STEPWELL_OPS_CUDA_LIBRARY"
_LIBRARY = "cc/ops/libstepwell_ops.so"
_CUDA_LIBRARY_NAME = "libstepwell_ops_cuda.so"

_CPU = torch.device("cpu")

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


def register_fake(
    op: str,
    fake: Callable[..., Any],
    ranks: Mapping[str, int],
    host: Collection[str] = (),
) -> None:
    """Registers what an op returns for tensors without data, and checks them first.

    The kernels check their arguments, but tensors without data (torch.compile,
    torch.export, the meta device) never reach them.

    Args:
        op: "stepwell::name".
        fake: returns empty tensors; its parameters bear the names of the schema.
        ranks: dimensions of each tensor argument, of each tensor of a list.
        host: tensor arguments that are always on the CPU.
    """
    signature = inspect.signature(fake)
    name = op.removeprefix("stepwell::")

    @functools.wraps(fake)
    def checked(*args: Any, **kwargs: Any) -> Any:
        tensors = [
            (argument, part, tensor)
            for argument, value in signature.bind(*args, **kwargs).arguments.items()
            for part, tensor in _tensors(argument, value)
        ]
        device = next(
            (tensor.device for argument, _, tensor in tensors if argument not in host),
            _CPU,
        )
        for argument, part, tensor in tensors:
            _check_rank(f"{name}: {part}", tensor, ranks[argument])
            allowed = {device, _CPU} if argument in host else {device}
            if tensor.device not in allowed:
                raise RuntimeError(
                    f"{name}: {part} must be on {device} like the other tensors, "
                    f"got {tensor.device}"
                )
        return fake(*args, **kwargs)

    torch.library.register_fake(op, checked)


def _check_rank(name: str, tensor: Tensor, rank: int) -> None:
    if tensor.dim() != rank:
        raise RuntimeError(f"{name} must have {rank} dimensions, got {tensor.dim()}")


def _tensors(argument: str, value: Any) -> list[tuple[str, Tensor]]:
    """The tensors of an argument, each with its name."""
    if isinstance(value, Tensor):
        return [(argument, value)]
    if isinstance(value, list | tuple):
        return [
            (f"{argument}[{number}]", part)
            for number, part in enumerate(value)
            if isinstance(part, Tensor)
        ]
    return []


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
