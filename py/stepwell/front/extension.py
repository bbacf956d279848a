"""The native module of the front, loaded from where Bazel built it."""

from types import ModuleType

from stepwell.base.native import native_module


def load_extension() -> ModuleType:
    """Loads `//cc/pybind:_front.so`, once in a process.

    Raises:
        NotFoundError: it is not built; names the command.
    """
    return native_module("_front")
