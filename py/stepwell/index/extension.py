"""The native module of the index, loaded from where Bazel built it."""

import importlib.util
import sys
from functools import cache
from importlib.machinery import ExtensionFileLoader
from types import ModuleType

from stepwell.base.native import native_library

_LIBRARY = "cc/pybind/_index.so"
_MODULE = "stepwell.index._index"


@cache
def load_extension() -> ModuleType:
    """Loads `//cc/pybind:_index.so`, once in a process.

    Raises:
        NotFoundError: it is not built; names the command.
    """
    path = str(native_library(_LIBRARY))
    loader = ExtensionFileLoader(_MODULE, path)
    spec = importlib.util.spec_from_file_location(_MODULE, path, loader=loader)
    assert spec is not None  # a loader was given
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[_MODULE] = module
    return module
