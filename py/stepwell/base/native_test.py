"""Where built libraries are found."""

import pytest

from stepwell.base.errors import NotFoundError
from stepwell.base.native import native_library, native_module


def test_a_missing_library_names_the_command_that_builds_it() -> None:
    with pytest.raises(NotFoundError, match=r"bazel build //cc/ops:libnothing\.so"):
        native_library("cc/ops/libnothing.so")


def test_a_missing_module_names_the_command_that_builds_it() -> None:
    with pytest.raises(NotFoundError, match=r"bazel build //cc/pybind:_nothing\.so"):
        native_module("_nothing")
